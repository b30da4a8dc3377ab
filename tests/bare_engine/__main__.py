"""`python3 -m tests.bare_engine start | stop | status`."""

import sys
import time

from tests.bare_engine.client import (
    ENV_FILE,
    RUNNER_HOST,
    client_env,
    engine_answers,
    other_engine,
    write_cli,
    write_env,
)
from tests.bare_engine.engine import start, stop
from tests.bare_engine.errors import BareEngineError
from tests.bare_engine.instance import MAIN, REPOSITORY, RUN
from tests.bare_engine.registry import stop_registry


def main(arguments: list[str]) -> int:
    commands = {"start": start_main, "stop": stop_main, "status": show_status}
    if len(arguments) != 1 or arguments[0] not in commands:
        print(f"Usage: python3 -m tests.bare_engine {' | '.join(commands)}", file=sys.stderr)
        return 2
    try:
        return commands[arguments[0]]()
    except BareEngineError as error:
        print(error, file=sys.stderr)
        return 1


def start_main() -> int:
    if (REPOSITORY / ".venv" / "bin").is_dir():
        write_cli(REPOSITORY / ".venv" / "bin")
    other = other_engine(MAIN)
    if other:
        print(f"There is an engine already: {other}.")
        return 0
    begin = time.monotonic()
    running = start(MAIN)
    write_env(MAIN)
    state = "answers" if running.started else "is already running"
    print(f"The engine {state} at {client_env(MAIN)[RUNNER_HOST]} ({time.monotonic() - begin:.1f} s).")
    return 0


def stop_main() -> int:
    # On a machine that never had one, there is nothing to stop, and nothing to be root for.
    ran = RUN.exists() and stop(MAIN)
    stop_registry(MAIN)
    ENV_FILE.unlink(missing_ok=True)
    print("The engine is stopped." if ran else "No engine was running.")
    return 0


def show_status() -> int:
    other = other_engine(MAIN)
    if other:
        print(f"There is an engine: {other}.")
        return 0
    answers = engine_answers(MAIN)
    print(f"The engine {'answers' if answers else 'does not answer'} at {client_env(MAIN)[RUNNER_HOST]}.")
    return 0 if answers else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
