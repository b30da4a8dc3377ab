from pathlib import Path

import pytest

from service.errors import ModelError
from service.providers import Providers, read_providers
from service.settings import Settings, SettingsError

SECRET = "sk-secret"
KEYS = {"ANTHROPIC_API_KEY": SECRET, "OPENAI_API_KEY": SECRET}
OSS = {"GPT_OSS_URL": "http://gpu.test:8000/v1"}
FILE = """
[openai]
wire = "chat"

[local]
wire = "chat"
base_url = "http://127.0.0.1:11434/v1/"

[kept]
wire = "messages"
base_url = "https://kept.test/anthropic"
key = "file:///run/secrets/kept"
"""


def providers(environ: dict[str, str], folder: Path) -> Providers:
    return read_providers(Settings.from_environ(environ, folder=folder), environ, folder=folder)


def told(found: Providers) -> dict[str, tuple[str, str, str]]:
    return {name: (each.wire, each.base_url, each.key) for name, each in found.by_name.items()}


def error_of(found: Providers, model: str) -> tuple[str, str]:
    with pytest.raises(ModelError) as raised:
        found.resolve(model)
    return raised.value.code, str(raised.value)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {
            "anthropic": ("messages", "https://api.anthropic.com", "env://ANTHROPIC_API_KEY"),
            "openai": ("responses", "https://api.openai.com", "env://OPENAI_API_KEY"),
        }),
        ({"ANTHROPIC_BASE_URL": "http://proxy.test:1/a/"}, {"anthropic": (
            "messages", "http://proxy.test:1/a", "env://ANTHROPIC_API_KEY"
        )}),
        ({"OPENAI_BASE_URL": "https://other.test/v1"}, {"openai": (
            "chat", "https://other.test", "env://OPENAI_API_KEY"
        )}),
        ({"LLM_API_KEY": "x"}, {"openai": ("responses", "https://api.openai.com", "env://LLM_API_KEY")}),
        ({"LLM_API_KEY": "x", "OPENAI_API_KEY": "x"}, {"openai": (
            "responses", "https://api.openai.com", "env://OPENAI_API_KEY"
        )}),
        (OSS, {"gpt-oss": ("chat", "http://gpu.test:8000", "")}),
        ({**OSS, "LLM_API_KEY": "x"}, {
            "openai": ("responses", "https://api.openai.com", "env://OPENAI_API_KEY"),
            "gpt-oss": ("chat", "http://gpu.test:8000", "env://LLM_API_KEY"),
        }),
    ],
)  # fmt: skip
def test_variables_say_what_the_well_known_providers_are(
    tmp_path: Path, environ: dict[str, str], expected: dict[str, tuple[str, str, str]]
):
    found = told(providers(environ, tmp_path))
    assert found.items() >= expected.items()
    assert set(found) == {"anthropic", "openai"} | ({"gpt-oss"} if "GPT_OSS_URL" in environ else set())


def test_a_file_adds_providers_and_changes_what_it_says_of_others(tmp_path: Path):
    before = told(providers({}, tmp_path))
    (tmp_path / "providers.toml").write_text(FILE)
    (tmp_path / "others.toml").write_text("")
    assert told(providers({}, tmp_path)) == {
        "anthropic": before["anthropic"],
        "openai": ("chat", *before["openai"][1:]),
        "local": ("chat", "http://127.0.0.1:11434", ""),
        "kept": ("messages", "https://kept.test/anthropic", "file:///run/secrets/kept"),
    }
    assert told(providers({"PROVIDERS_FILE": "others.toml"}, tmp_path)) == before
    assert len(told(providers({"PROVIDERS_FILE": str(tmp_path / "providers.toml")}, tmp_path))) == 4


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[x", "providers.toml"),
        ("x = 1", r"\[x\]"),
        ("[[x]]", r"\[x\]"),
        ("[x]\nwire = 'chat'", r"\[x\]: it lacks base_url"),
        ("[x]\nkey = 'env://A'", r"\[x\]: it lacks base_url and wire"),
        ("[x]\nwire = 'grpc'\nbase_url = 'http://a.test'", r"\[x\].*grpc.*messages, responses, chat"),
        ("[x]\nwire = 'chat'\nbase_url = 'http://a.test'\ntoken = 'sk-secret'", r"\[x\].*token"),
        ("[x]\nwire = 'chat'\nbase_url = 'ftp://a.test'", r"\[x\] base_url: it should be http://host"),
        ("[x]\nwire = 'chat'\nbase_url = 'https://a:sk-secret@b.test'", r"\[x\] base_url: no user and no password"),
        ("[x]\nwire = 'chat'\nbase_url = 'https://b.test/?key=sk-secret'", r"\[x\] base_url: no query"),
        ("[x]\nwire = 'chat'\nbase_url = 'https://b.test:port/'", r"\[x\] base_url"),
        ("[x]\nwire = 'chat'\nbase_url = 'https://b.test/ a'", r"\[x\] base_url"),
        ("[x]\nwire = 'chat'\nbase_url = 'http://a.test'\nkey = 'sk-secret'", r"\[x\] key: a key is env://"),
        ("[openai]\nkey = 'sk-secret'", r"\[openai\] key"),
        ("['a b']\nwire = 'chat'\nbase_url = 'http://a.test'", r"\[a b\]: a name is"),
        ("['a/b']\nwire = 'chat'\nbase_url = 'http://a.test'", r"\[a/b\]: a name is"),
    ],
)
def test_a_file_that_cannot_be_is_refused_at_the_start_by_what_is_wrong_and_without_its_secrets(
    tmp_path: Path, text: str, named: str
):
    (tmp_path / "providers.toml").write_text(text)
    with pytest.raises(SettingsError, match=named) as raised:
        providers({}, tmp_path)
    assert SECRET not in str(raised.value)


def test_bytes_that_are_no_text_are_no_file_of_providers(tmp_path: Path):
    (tmp_path / "providers.toml").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"providers\.toml"):
        providers({}, tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROVIDERS_FILE", "nowhere.toml"),
        ("ANTHROPIC_BASE_URL", "api.test"),
        ("OPENAI_BASE_URL", "https://user:sk-secret@api.test"),
        ("GPT_OSS_URL", "gpu:8000"),
        ("CLAUDE_CODE_MODEL", "sonnet"),
        ("CLAUDE_CODE_MODEL", "scripted"),
        ("CODEX_MODEL", "nobody/gpt-5"),
        ("CODEX_MODEL", ""),
    ],
)
def test_a_variable_that_cannot_be_is_refused_by_its_name(tmp_path: Path, name: str, value: str):
    with pytest.raises(SettingsError, match=f"^{name}: ") as raised:
        providers({name: value}, tmp_path)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("anthropic/claude-sonnet-5-5", "anthropic/claude-sonnet-5-5"),
        ("claude-opus-4-1", "anthropic/claude-opus-4-1"),
        ("openai/llama", "openai/llama"),
        ("gpt-4", "openai/gpt-4"),
        ("gpt-4o-mini", "openai/gpt-4o-mini"),
        ("o1", "openai/o1"),
        ("o3-pro", "openai/o3-pro"),
        ("o4-mini", "openai/o4-mini"),
        ("chatgpt-4o-latest", "openai/chatgpt-4o-latest"),
        ("codex-mini-latest", "openai/codex-mini-latest"),
        ("gpt-oss-20b", "gpt-oss/gpt-oss-20b"),
        ("gpt-oss:20b", "gpt-oss/gpt-oss:20b"),
        ("gpt-oss/openai/gpt-oss-20b", "gpt-oss/openai/gpt-oss-20b"),
        ("openai/gpt-oss-20b", "openai/gpt-oss-20b"),
        ("llama3.3", "gpt-oss/llama3.3"),
        ("o1x", "gpt-oss/o1x"),
    ],
)
def test_a_model_is_its_provider_and_the_name_it_has_there(tmp_path: Path, model: str, expected: str):
    found = providers({**KEYS, **OSS}, tmp_path).resolve(model)
    assert str(found) == expected
    assert (found.provider.name, found.name) == tuple(expected.split("/", 1))


def test_a_gpt_oss_without_a_provider_of_that_name_is_one_of_openai_s(tmp_path: Path):
    assert str(providers(KEYS, tmp_path).resolve("gpt-oss-20b")) == "openai/gpt-oss-20b"


def test_a_name_whose_provider_is_not_clear_is_refused_with_how_to_write_one(tmp_path: Path):
    found = providers(KEYS, tmp_path)
    for model in ("llama3.3", "meta/llama", "openai/", "/x", "Claude", "o10", "scripted"):
        code, why = error_of(found, model)
        assert (code, model in why) == ("model.unknown", True)
        assert "provider/name" in why
        assert "anthropic, openai" in why
    (tmp_path / "providers.toml").write_text(FILE)
    assert error_of(providers(KEYS, tmp_path), "llama3.3")[0] == "model.unknown"


def test_a_server_of_one_s_own_that_is_not_set_is_refused_by_its_variable(tmp_path: Path):
    code, why = error_of(providers(KEYS, tmp_path), "gpt-oss/some-model")
    assert (code, "GPT_OSS_URL" in why) == ("model.unknown", True)
    assert "GPT_OSS_URL" not in error_of(providers(OSS, tmp_path), "gpt-oss/")[1]


def test_no_provider_has_a_model_of_the_name_that_plays_scripts(tmp_path: Path):
    for model in ("scripted", "gpt-oss/scripted"):
        assert error_of(providers(OSS, tmp_path), model)[0] == "model.unknown"


@pytest.mark.parametrize("model", ["", " ", "a b", "openai/a b", "gpt-4\n", "openai/é", "--x", "x" * 201, "a\0"])
def test_what_is_no_name_is_refused(tmp_path: Path, model: str):
    assert error_of(providers({**KEYS, **OSS}, tmp_path), model)[0] == "model.unknown"


@pytest.mark.parametrize("variable", [{}, {"ANTHROPIC_API_KEY": ""}])
def test_a_model_whose_key_is_not_there_is_refused_with_where_it_should_be(tmp_path: Path, variable: dict[str, str]):
    (tmp_path / "providers.toml").write_text(FILE)
    found = providers(variable, tmp_path)
    code, why = error_of(found, "claude-opus-4-1")
    assert (code, "ANTHROPIC_API_KEY" in why) == ("llm.no_key", True)
    code, why = error_of(found, "kept/x")
    assert (code, "/run/secrets/kept" in why) == ("llm.no_key", True)
    assert {name for name, each in found.by_name.items() if found.has_key(each)} == {"local"}


async def test_a_key_is_read_when_it_is_asked_for_and_shown_nowhere(tmp_path: Path):
    (tmp_path / ".env").write_text(f"OPENAI_API_KEY={SECRET}\n")
    (tmp_path / "providers.toml").write_text(FILE.replace("/run/secrets/kept", str(tmp_path / "key")))
    (tmp_path / "key").write_text("first\n")
    found = providers({}, tmp_path)
    assert await found.read_key(found.resolve("gpt-5").provider) == SECRET
    assert await found.read_key(found.by_name["local"]) == ""
    kept = found.resolve("kept/x").provider
    (tmp_path / "key").write_text("second\n")
    assert await found.read_key(kept) == "second"
    (tmp_path / "key").unlink()
    with pytest.raises(ModelError, match=r"no key for kept.*/key") as raised:
        await found.read_key(kept)
    assert raised.value.code == "llm.no_key"
    assert SECRET not in repr((found, kept))
