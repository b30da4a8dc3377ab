import pytest

from service.engine import Line
from service.engine.clone import clone_error
from service.engine.dagger.telemetry import EXEC_SCOPE, GIT_SCOPE, STDERR, STDOUT, Chunk
from service.engine.output import Output


def chunk(text: str, *, stream: int = STDOUT, scope: str = EXEC_SCOPE, eof: bool = False) -> Chunk:
    return Chunk(trace_id=1, scope=scope, stream=stream, text=text, eof=eof)


async def lines_of(*chunks: Chunk) -> list[bytes]:
    output = Output(0)
    for each in chunks:
        await output.take(each)
    output.end()
    lines: list[Line] = [line async for line in output.lines]
    output.close()
    return [line.data for line in lines]


async def test_a_line_that_comes_in_pieces_is_whole():
    assert await lines_of(chunk("one li"), chunk("ne\ntw"), chunk("o\n")) == [b"one line", b"two"]


async def test_what_stderr_says_in_between_leaves_a_line_of_stdout_whole():
    between = [chunk("oh", stream=STDERR), chunk("", stream=STDERR, eof=True)]
    assert await lines_of(chunk("one li"), *between, chunk("ne\n")) == [b"oh", b"one line"]


async def test_a_last_line_without_a_newline_comes_at_the_end_of_its_stream():
    assert await lines_of(chunk("the end"), chunk("", eof=True)) == [b"the end"]


async def test_what_git_says_is_no_line():
    assert await lines_of(chunk("fatal: no\n", stream=STDERR, scope=GIT_SCOPE), chunk("one\n")) == [b"one"]


@pytest.mark.parametrize(
    ("message", "git_said", "code"),
    [
        ('Get "it/info/refs": dial tcp: lookup x.invalid on 10.0.0.1:53: no such host', "", "clone.dns"),
        ('Get "it/info/refs": dial tcp 127.0.0.1:1: connect: connection refused', "", "clone.refused"),
        ('Get "it": tls: failed to verify certificate: x509: unknown authority', "", "clone.tls"),
        ("repository not found: <html>404</html>", "", "clone.not_found"),
        ("git error: exit status 128", "fatal: access denied or repository not exported: /x", "clone.not_found"),
        ("git error: exit status 128", "fatal: could not read Username for 'it'", "clone.auth"),
        ('repository does not contain ref "nope"', "", "clone.ref"),
        ('repository does not contain ref "HEAD"', "", "clone.empty"),
        ("git error: exit status 128", "fatal: remote error: upload-pack: not our ref 0123", "clone.ref"),
        ("git error: exit status 1", "", "clone.failed"),
    ],
)  # fmt: skip
def test_a_clone_that_fails_has_one_code_by_what_was_said(message: str, git_said: str, code: str):
    assert clone_error(message, git_said).code == code
