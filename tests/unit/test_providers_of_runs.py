"""What a run's gateway is given."""

from pathlib import Path

from agent_image.gateway.plan import Patience
from agent_image.task import Access
from service.gateway import models_of
from service.providers import read_providers
from service.rules import read_prices
from service.run import Assignment, Budget, RunSpec
from service.settings import Settings

SECRET = "sk-secret"
SPEC = RunSpec(
    repo_url="https://git.test/a",
    ref="",
    prompt="do it",
    setup=[],
    image="x",
    timeout_s=1,
    agents=[Assignment(model="openai/gpt-5"), Assignment(model="kept/x"), Assignment(model="local/x"), Assignment()],
    budget=Budget(calls=8, reserve=0.25),
)
FILE = """
[kept]
wire = "messages"
base_url = "https://kept.test/anthropic"
key = "cmd://echo sk-secret"

[local]
wire = "chat"
base_url = "http://127.0.0.1:11434"
"""


async def test_a_plan_says_what_people_call_keys_and_providers_and_shows_no_secret(tmp_path: Path):
    (tmp_path / "providers.toml").write_text(FILE)
    known = read_providers(Settings(), {"OPENAI_API_KEY": SECRET, "PATH": "/usr/bin:/bin"}, folder=tmp_path)
    models = await models_of(SPEC, known, read_prices(Settings()), Patience())
    assert models is not None
    plan = models.plan
    assert [(each.key_name, each.address) for each in plan.providers] == [
        ("OPENAI_API_KEY", "https://api.openai.com"),
        ("the key of kept in providers.toml", "https://kept.test/anthropic"),
        ("", "http://127.0.0.1:11434"),
    ]
    assert [(grant.variation, grant.share.calls) for grant in plan.grants] == [(0, 2), (1, 2), (2, 2)]
    shown = repr((models, plan, plan.grants, Access("http://gateway", plan.grants[0].token)))
    assert not [secret for secret in (SECRET, plan.control_token, *(g.token for g in plan.grants)) if secret in shown]
