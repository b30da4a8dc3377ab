from pathlib import Path

import msgspec
import pytest

from service.settings import Settings, SettingsError, read_env_file, superseded

ROOT = Path(__file__).parents[2]
KEYS = {"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "LLM_API_KEY"}
"""Variables that are read when a run needs them, and are in no settings."""


def test_without_any_variable_everything_has_a_default(tmp_path: Path):
    assert Settings.from_environ({}, folder=tmp_path) == Settings()


def test_the_environment_goes_before_the_file(tmp_path: Path):
    (tmp_path / ".env").write_text("# ours\nPORT=1000\n\nMAX_RUNS = 7\nOTHER=x\n")
    settings = Settings.from_environ({"PORT": "2000"}, folder=tmp_path)
    assert (settings.port, settings.max_runs) == (2000, 7)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"), ("PORT", "70000"), ("MAX_VARIATIONS", "0"), ("AGENT_TIMEOUT", "-1"), ("DEBUG", "maybe"),
        ("BUDGET_USD", "-1"), ("BUDGET_USD", "much"), ("BUDGET_USD", "nan"), ("LLM_MAX_WAIT", "0"),
        ("AIDEATOR_ENGINE", "docker"), ("LOCAL_HOME", "here"), ("LOCAL_TOOLS", "/opt/go:go"), ("LOCAL_NETWORK", "no"),
        ("LOCAL_MEMORY", "0"), ("LOCAL_PROCESSES", "1"), ("LOCAL_CPUS", "-1"), ("LOCAL_DISK", "0"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused_by_its_name(tmp_path: Path, name: str, value: str):
    with pytest.raises(SettingsError, match=f"^{name}: "):
        Settings.from_environ({name: value}, folder=tmp_path)


def test_any_origin_at_all_may_call_only_in_development(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"^CORS_ORIGINS"):
        Settings.from_environ({"CORS_ORIGINS": "*"}, folder=tmp_path)
    assert Settings.from_environ({"CORS_ORIGINS": "*", "DEBUG": "true"}, folder=tmp_path).cors_allowed() == ["*"]


def test_origins_are_separated_by_commas(tmp_path: Path):
    settings = Settings.from_environ({"CORS_ORIGINS": "https://a.test, https://b.test"}, folder=tmp_path)
    assert settings.cors_allowed() == ["https://a.test", "https://b.test"]


def test_folders_of_tools_are_separated_by_colons(tmp_path: Path):
    settings = Settings.from_environ({"LOCAL_TOOLS": "/opt/node:/opt/go dev:"}, folder=tmp_path)
    assert settings.tools() == (Path("/opt/node"), Path("/opt/go dev"))


def test_the_example_has_every_variable_with_its_default():
    example = read_env_file(ROOT / ".env.example")
    assert Settings.from_environ(example, folder=ROOT / "tests") == Settings()
    assert set(example) == {field.encode_name for field in msgspec.structs.fields(Settings)} | KEYS
    assert {example[name] for name in KEYS} == {""}


def test_a_variable_of_an_earlier_version_is_named_with_the_reason():
    assert superseded({"REDIS_URL": "redis://x", "PORT": "1"}) == {"REDIS_URL": "events are kept in Postgres"}


def test_a_word_that_is_none_of_a_few_is_told_which_there_are():
    with pytest.raises(SettingsError, match=r"^AIDEATOR_ENGINE: .*; it is one of auto, dagger, local$"):
        Settings.from_environ({"AIDEATOR_ENGINE": "Docker"}, folder=None)
