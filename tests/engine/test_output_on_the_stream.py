"""Output that is no tidy text is stored and shown, and does no harm to the siblings."""

import base64

import httpx2

from tests.git_repositories import GitRepositories
from tests.service.api import check_log, frames, of_variation, start_run, until

PRINTED = {
    r"printf 'a\000b\n'": b"a\0b\n",
    r"printf 'broken \377\376 utf-8\n'": b"broken \xff\xfe utf-8\n",
    r"printf '\033[31mred\033[0m\r\n'": b"\x1b[31mred\x1b[0m\r\n",
    r"printf '\nid: 999\nevent: end\ndata: {}\n\n'": b"\nid: 999\nevent: end\ndata: {}\n\n",
    r"yes é | tr -d '\n' | head -c 200000; echo": "é".encode() * 100_000 + b"\n",
    "printf 'no newline'": b"no newline",
}
LONG = 100_000_000


async def test_any_output_is_shown_and_the_siblings_are_complete(http: httpx2.AsyncClient, git: GitRepositories):
    commands = [*PRINTED, f"head -c {LONG} /dev/zero | tr '\\000' x", "seq 1 3000"]
    cases = "\n".join(f"{index}) {command} ;;" for index, command in enumerate(commands))
    url = git.make("output", {"agent.sh": f"case $VARIATION_ID in\n{cases}\nesac\n"})
    run = await start_run(http, url, "sh agent.sh", variations=len(commands))
    log = await frames(http, run)
    check_log(log)
    assert [each["state"] for each in (await until(http, run))["variations"]] == ["succeeded"] * len(commands)

    for index, printed in enumerate(PRINTED.values()):
        assert printed_by(of_variation(log, index)) == printed
        shown = "".join(
            frame.data["content"]
            for frame in log
            if frame.data["variation_id"] == index and frame.data["type"] == "output"
        )
        assert shown == printed.decode(errors="replace")
    events = of_variation(log, len(commands) - 2)
    withheld = [event["withheld_bytes"] for event in events if event["kind"] == "truncated"]
    assert len(printed_by(events)) + withheld[-1] == LONG
    assert len(printed_by(events)) < 16 << 20
    assert printed_by(of_variation(log, len(commands) - 1)) == b"".join(b"%d\n" % number for number in range(1, 3001))


def printed_by(events: list[dict[str, str]]) -> bytes:
    return b"".join(
        base64.b64decode(event.get("data", "")) or event.get("text", "").encode()
        for event in events
        if event["kind"] == "output"
    )
