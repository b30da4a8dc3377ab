"""`aideator demo` at Ctrl-C."""

import signal
import subprocess
from pathlib import Path

from tests.processes import processes_of
from tests.service.terminal import AIDEATOR, Terminal
from tests.service.test_terminal_run import home_of

LIMIT_S = 15.0


def test_ctrl_c_while_agents_work_ends_it_within_seconds_and_leaves_nothing(tmp_path: Path):
    environ = Terminal(tmp_path).environ
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [AIDEATOR, "demo"], cwd=tmp_path, env=environ, stdout=pipe, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            running: set[str] = set()
            for line in process.stdout:
                if line.endswith("● running\n"):
                    running.add(line.partition("│")[0])
                if len(running) == 3:
                    break
            (run,) = (tmp_path / ".demo").iterdir()
            home = home_of(process.pid)
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
    assert (process.returncode, "Traceback" in rest) == (130, False)
    assert processes_of(run.name) == []
    assert not home.exists()
    assert list((tmp_path / "home" / "runs").iterdir()) == []
