import os
import sys
from pathlib import Path

import pytest

from service.key import KeyMissingError, check_reference, missing, read_key

SECRET = "sk-secret"
ENVIRON = {"PATH": os.environ["PATH"], "SECRET": SECRET, "EMPTY": ""}


@pytest.mark.parametrize(
    "reference",
    ["", "SECRET", SECRET, "env://", "env://A B", "env://1A", "file://relative", "file://", "cmd://", "cmd://  ",
     "cmd://pass 'show", "https://keys.test/1", "env:SECRET", "cmd://pass\0show"],
)  # fmt: skip
def test_what_is_no_reference_is_refused_and_not_repeated(reference: str):
    with pytest.raises(ValueError, match="env://NAME, file:///path or cmd://") as raised:
        check_reference(reference)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
async def test_a_key_is_read_from_where_the_reference_says_without_the_line_break_at_its_end(
    tmp_path: Path, ending: str
):
    file = tmp_path / "key file"
    file.write_text(SECRET + ending, newline="")
    command = f"cmd://cat '{file}'"
    for reference in ("env://KEY", f"file://{file}", command):
        assert check_reference(reference) == reference
        assert missing(reference, {"KEY": SECRET}) == ""
        assert await read_key(reference, {**ENVIRON, "KEY": SECRET + ending}) == SECRET


async def test_a_command_is_run_without_a_shell_and_with_the_same_variables():
    for reference, key in [
        ("cmd://printenv SECRET", SECRET),
        ("cmd://echo $SECRET;id", "$SECRET;id"),
        ("cmd://sh -c 'echo $SECRET | tr s S'", "Sk-Secret"),
    ]:
        assert await read_key(reference, ENVIRON) == key


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("env://NOWHERE", "NOWHERE is not set"),
        ("env://EMPTY", "EMPTY is not set"),
        ("file:///nowhere/key", "/nowhere/key is no file"),
        ("file:///", "/ is no file"),
    ],
)
async def test_what_is_missing_is_named_before_it_is_needed(reference: str, why: str):
    assert missing(reference, ENVIRON).startswith(why)
    with pytest.raises(KeyMissingError, match=why):
        await read_key(reference, ENVIRON)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (f"print('{SECRET}'); import sys; print('{SECRET}', file=sys.stderr); sys.exit(3)", "ended with status 3"),
        ("pass", "gives is no key"),
        (f"print('{SECRET}'); print('{SECRET}')", "gives is no key"),
        (f"print('{SECRET}', '{SECRET}')", "gives is no key"),
        (f"print('{SECRET}' + chr(233))", "gives is no key"),
    ],
)
async def test_a_command_that_gives_no_key_is_named_and_nothing_of_what_it_said(script: str, why: str):
    with pytest.raises(KeyMissingError, match=why) as raised:
        await read_key(f'cmd://{sys.executable} -c "{script}"', ENVIRON)
    assert SECRET not in str(raised.value)
    assert sys.executable in str(raised.value)


async def test_a_command_that_there_is_not_gives_no_key():
    with pytest.raises(KeyMissingError, match=r"nowhere/get-key: No such file"):
        await read_key("cmd:///nowhere/get-key --now", ENVIRON)


async def test_a_command_that_does_not_end_is_ended():
    with pytest.raises(KeyMissingError, match=r"took more than 0\.2 seconds"):
        await read_key("cmd://sleep 1000", ENVIRON, limit_s=0.2)


async def test_a_file_that_holds_no_key_is_not_shown(tmp_path: Path):
    file = tmp_path / "key"
    file.write_bytes(b"\xff" + SECRET.encode())
    with pytest.raises(KeyMissingError) as raised:
        await read_key(f"file://{file}", {})
    assert SECRET not in str(raised.value)
