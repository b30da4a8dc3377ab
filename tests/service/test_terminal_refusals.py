"""What `aideator run` refuses, or cannot begin: a sentence, a report, an exit status."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.disks import or_skip, plain_disk
from tests.git_repositories import GitRepositories
from tests.service.terminal import Terminal
from tests.service.test_terminal_run import CHANGE, cases


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_what_is_refused_ends_with_2_and_one_sentence(terminal: Terminal, git: GitRepositories, tmp_path: Path):
    url = git.make("repo")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    refused = {
        "--what": "No such option",
        "-n0": "Invalid value for '-n'",
        "--agent=nope": "is not one of 'builtin', 'claude-code', 'codex', 'command'",
        "-n6": "Error: --variations/-n: at most 5",
        "--prompt= ": "'--prompt': there is nothing in it",
        "--setup=": "'--setup': there is nothing in it",
        "--image=node:22": "Error: --image: on the engine local agents run on this machine's own system",
        "--timeout=nan": "'--timeout': nan is no number",
        "--timeout=0": "'--timeout': 0.0 is not in the range 0<x<=86400",
        "--budget-usd=0": "'--budget-usd': 0.0 is not in the range",
        "--command=ls": "Error: --command: only the agent `command` takes one",
        "--ref=a..b": "Error: --ref: 'a..b' is no branch",
        "--repo=nowhere": "Error: --repo: nowhere is neither a folder nor a URL",
        "--repo=git@example.com:a/b": "over https it is https://example.com/a/b",
        f"--repo={tmp_path / 'full' / 'mine'}": "is a file, and no folder",
        f"--repo={tmp_path}": "not a git repository",
        "--repo=ssh://git@example.com/a": "Error: --repo: the scheme is one of",
        "--repo=https://user:secret@example.com/a": "Error: --repo: a repository URL holds no user name",
        "--output=full": "--output: full is not empty",
        "--junit=none/report.xml": "--junit: none/report.xml is no place for a file",
    }
    with ThreadPoolExecutor(4) as several:
        done = list(several.map(terminal.run, [url] * len(refused), refused))
    for (option, said), each in zip(refused.items(), done, strict=True):
        assert (each.returncode, each.stdout) == (2, ""), (option, each)
        assert said in each.stderr, (option, each.stderr)
        assert "secret" not in each.stderr
        assert "Traceback" not in each.stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]


def test_what_is_refused_and_what_cannot_be_written_is_reported_too(
    terminal: Terminal, git: GitRepositories, tmp_path: Path
):
    url, report = git.make("repo"), tmp_path / "report.xml"
    refused = {"-n0": "request.invalid", "--what": "request.invalid", "--repo=nowhere": "repo_url.scheme"}
    for option, code in {**refused, "--env-file=nowhere": "settings.invalid"}.items():
        assert terminal.run(url, option, f"--junit={report}").returncode == 2
        error = cases(report)[0].find("error")
        assert error is not None
        assert error.attrib["type"] == code
        report.unlink()
    done = terminal.run(url, *CHANGE, "-n1", "--junit=/dev/full")
    assert (done.returncode, done.stderr) == (3, "Error: /dev/full: No space left on device\n")
    assert "1 patch, not kept" in done.stdout


@pytest.mark.parametrize("how", ["--json", "--env-file=/dev/null"])
def test_an_output_that_takes_no_more_ends_the_run_with_3_and_says_so(
    terminal: Terminal, git: GitRepositories, tmp_path: Path, how: str
):
    report = tmp_path / "out" / "report.xml"
    done = terminal.run_into(Path("/dev/full"), git.make("repo"), *CHANGE, how, "--output=out", f"--junit={report}")
    assert done.returncode == 3
    assert "Error: the output: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(cases(report)) == 3


def test_a_folder_that_takes_no_more_is_said_to_have_what_it_has(
    terminal: Terminal, git: GitRepositories, tmp_path: Path
):
    big = "--command=head -c 3000000 /dev/urandom > made; [ $VARIATION_ID = 0 ] && head -c 9 made > made; :"
    with or_skip(plain_disk(tmp_path / "out", 2)):
        done = terminal.run(git.make("repo"), "--agent=command", big, "-n2", "--output=out", "--junit=report.xml")
        assert [path.name for path in (tmp_path / "out").glob("*.patch*")] == ["0.patch"]
    assert done.returncode == 3
    assert "1 patch in out\n" in done.stdout
    assert done.stderr == "Error: out/1.patch: No space left on device\n"
    assert [case.find("system-out") is None for case in cases(tmp_path / "report.xml")] == [False, True]


def test_help_has_the_exit_statuses_a_line_each(terminal: Terminal):
    lines = terminal.run("x", "--help").stdout.splitlines()
    assert [line.split()[0] for line in lines if line.lstrip()[:1].isdigit()] == ["0", "1", "2", "3", "130"]


def test_without_an_engine_it_ends_with_3_says_what_to_install_and_reports_it(
    terminal: Terminal, git: GitRepositories, tmp_path: Path
):
    url, report, programs = git.make("repo"), tmp_path / "report.xml", tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "cp", "chmod"):  # the last two bring Postgres to where it runs
        (programs / name).symlink_to(subprocess.check_output(["which", name], text=True).strip())
    dead = f"unix://{tmp_path}/nobody.sock"
    environ = {"_EXPERIMENTAL_DAGGER_RUNNER_HOST": dead, "AIDEATOR_ENGINE": "auto", "PATH": str(programs)}
    done = terminal.run(url, f"--junit={report}", environ=environ)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"no Dagger engine answers at {dead}" in done.stderr
    assert "bubblewrap is not installed" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    (case,) = cases(report)
    error = case.find("error")
    assert error is not None
    assert error.attrib["type"] == "engine.unavailable"

    # What is asked for wrongly is said all the same, and first; nor is a Postgres begun, which cannot be without `cp`.
    (programs / "cp").unlink()
    for option, said in {"-n6": "--variations/-n: at most 5", "--output=bin": "--output: bin is not empty"}.items():
        done = terminal.run(url, option, environ=environ)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert done.stderr.startswith(f"Error: {said}")

    done = terminal.run(url, environ={**environ, "AIDEATOR_ENGINE": "dagger"})
    assert (done.returncode, done.stdout) == (3, "")
    assert dead in done.stderr

    (programs / "git").unlink()
    done = terminal.run(tmp_path, environ=environ)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (3, "", 1)
    assert "git is not installed" in done.stderr
