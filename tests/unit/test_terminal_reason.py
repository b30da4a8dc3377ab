"""How a `dagger call` says in one line what the engine told it."""

import gql
from dagger import ExecError
from dagger._exceptions import QueryErrorValue

from aideator.reason import exit_and_reason, last_line


def failed(exit_code: int, message: str = "", stderr: str = "") -> ExecError:
    told = {"_type": "EXEC_ERROR", "cmd": ["a"], "exitCode": exit_code, "stdout": "", "stderr": stderr}
    return ExecError([QueryErrorValue(message=message, extensions=told)], gql.GraphQLRequest("{ a }"))


def test_a_status_from_128_up_is_a_signal():
    assert exit_and_reason(failed(137, "exit code: 137")) == (137, "killed by signal 9")


def test_any_other_failure_is_told_as_the_engine_tells_it():
    message = "start abc (aliased as gateway): exit code: 1 [traceparent:00-11]"
    assert exit_and_reason(failed(0, message)) == (70, "start abc (aliased as gateway): exit code: 1")
    assert exit_and_reason(failed(1, "failed\nand more", "first\nlast\n")) == (70, "failed: last")


def test_the_last_line_is_one_that_says_something():
    assert last_line("usage\nno command \n\n") == "no command"
    assert not last_line("\n")
