"""No provider's key is in an agent's container, nor in anything that a run leaves."""

import base64
import json
from urllib.parse import quote

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.git_repositories import GitRepositories
from tests.mending import AGENTS, BROKEN, LIMIT_S, MEND, NEEDLE, start_agents
from tests.providers.fake import FakeProvider
from tests.providers.script import Turn, shell
from tests.service.api import frames, of_variation, until

PLANTED = "pl4nted-c0ntrol"
"""A part of the prompt: what looks for the needle has to find this."""

# Reads every variable, argument and file that it can; what it looks for reaches it backwards, lest it find itself.
SEARCH = """
import base64, os, sys, urllib.parse

def forms(plain):
    yield plain
    yield urllib.parse.quote(plain, safe="").encode()
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    for shift in range(3):  # where in three bytes it begins decides what base64 makes of it
        whole = base64.b64encode(b"." * shift + plain)
        yield whole[4 if shift else 0 : -4]

def texts():
    for folder, names, files in os.walk("/"):
        names[:] = [name for name in names if folder != "/" or name not in ("proc", "sys", "dev")]
        for name in files:
            yield os.path.join(folder, name)
    for process in filter(str.isdigit, os.listdir("/proc")):
        yield from (f"/proc/{process}/{name}" for name in ("environ", "cmdline"))

def look(plains):
    wanted = [list(forms(plain)) for plain in plains]
    read, found = 0, [[] for _ in plains]
    for path in texts():
        try:
            if os.path.getsize(path) > 50_000_000:  # the agents' own programs, which were there before the key
                continue
            with open(path, "rb") as file:
                rest = b""
                while chunk := file.read(1 << 22):
                    chunk = rest + chunk
                    for each, paths in zip(wanted, found):
                        if any(form in chunk for form in each):
                            paths.append(path)
                    rest = chunk[-64:]
            read += 1
        except OSError:
            pass
    return read, found

read, found = look([backwards[::-1].encode() for backwards in sys.argv[1:]])
for paths in found:
    print("FOUND" if paths else "CLEAN", read > 1000, sorted(paths)[:3])
"""


async def test_the_key_is_nowhere_but_in_the_gateway(
    http: httpx2.AsyncClient,
    git: GitRepositories,
    fake: FakeProvider,
    database_url: str,
    capfd: pytest.CaptureFixture[str],
):
    look = shell(f"python3 -B search.py '{NEEDLE[::-1]}' '{PLANTED[::-1]}'")
    fake.say((Turn(calls=[look]), *MEND[1:]))
    url = git.make("searched", {**BROKEN, "search.py": SEARCH})
    run = await start_agents(http, url, [AGENTS[0], AGENTS[3], AGENTS[4]], prompt=f"Look for {PLANTED}")
    ended = await until(http, run, limit_s=LIMIT_S)
    assert [each["state"] for each in ended["variations"]] == ["succeeded"] * 3
    log = await frames(http, run)
    for index in range(3):
        said = "".join(event.get("text", "") for event in of_variation(log, index))
        assert "CLEAN True" in said
        assert "FOUND True" in said

    patches = [(await http.get(each["patch_url"])).content for each in ended["variations"]]
    seen = [*(frame.raw for frame in log), *patches, await stored(database_url), json.dumps(ended).encode()]
    seen += [text.encode() for text in capfd.readouterr()]
    for form in written_as(fake.key):
        assert not any(form in each for each in seen)


async def stored(database_url: str) -> bytes:
    """Everything in the database, as text and as bytes."""
    database = create_async_engine(database_url)
    found: list[bytes] = []
    async with database.connect() as connection:
        for table in ("runs", "variations", "segments"):
            for row in await connection.execute(text(f"SELECT * FROM {table}")):
                found += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    await database.dispose()
    return b"\n".join(found)


def written_as(key: str) -> list[bytes]:
    plain = key.encode()
    middles = [base64.b64encode(b"." * shift + plain)[4 if shift else 0 : -4] for shift in range(3)]
    return [plain, quote(key, safe="").encode(), plain.hex().encode(), plain.hex().upper().encode(), *middles]
