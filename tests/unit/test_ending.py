from functools import partial

import pytest

from agent_image.events import EXIT_STATUS, CallFailed, Finished, Outcome
from service.ending import Ending, run_ending, variation_ending
from service.run import State
from service.tally import Tally


def said(outcome: Outcome) -> Tally:
    tally = Tally()
    tally.is_new(Finished(n=1, at=0, outcome=outcome, exit=EXIT_STATUS[outcome], seconds=2.5, reason="so"))
    return tally


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.SUBMITTED, State.SUCCEEDED),
        (Outcome.GAVE_UP, State.FAILED),
        (Outcome.CRASHED, State.FAILED),
        (Outcome.TIMED_OUT, State.TIMED_OUT),
    ],
)
def test_a_variation_ends_as_its_harness_says(outcome: Outcome, state: State):
    ending = variation_ending(said(outcome), EXIT_STATUS[outcome])
    assert (ending.state, ending.seconds, ending.exit) == (state, 2.5, EXIT_STATUS[outcome])


def test_a_refusal_of_the_gateway_is_the_reason_alone_and_of_failures_alone():
    refused = CallFailed(n=1, at=0, variation=0, code="llm.budget", reason="the budget is spent")
    ending = variation_ending(said(Outcome.GAVE_UP), EXIT_STATUS[Outcome.GAVE_UP], refused)
    assert (ending.code, ending.detail) == ("llm.budget", "the budget is spent")
    assert variation_ending(said(Outcome.SUBMITTED), 0, refused).code == ""


def test_what_the_engine_knows_is_said_of_failures_that_have_no_other_reason():
    known = partial(variation_ending, code="agent.memory", detail="too much memory")
    ending = known(said(Outcome.GAVE_UP), EXIT_STATUS[Outcome.GAVE_UP])
    assert (ending.code, ending.detail) == ("agent.memory", "too much memory; so")
    assert known(said(Outcome.SUBMITTED), 0).code == ""
    assert known(said(Outcome.TIMED_OUT), EXIT_STATUS[Outcome.TIMED_OUT]).code == "agent.timed_out"
    refused = CallFailed(n=1, at=0, variation=0, code="llm.budget", reason="the budget is spent")
    assert known(said(Outcome.GAVE_UP), EXIT_STATUS[Outcome.GAVE_UP], refused).code == "llm.budget"


def test_a_word_that_the_exit_status_does_not_bear_out_is_not_believed():
    ending = variation_ending(said(Outcome.SUBMITTED), 1)
    assert (ending.code, ending.detail) == ("agent.crashed", "the harness ended with status 1, having said submitted")


def test_death_by_a_signal_names_the_signal():
    ending = variation_ending(Tally(), 137)
    assert (ending.state, ending.exit) == (State.FAILED, 137)
    assert "signal 9" in ending.detail


def test_one_that_was_killed_after_its_deadline_has_timed_out_whatever_it_said_before():
    for tally in (Tally(), said(Outcome.SUBMITTED)):
        assert variation_ending(tally, EXIT_STATUS[Outcome.TIMED_OUT]).state is State.TIMED_OUT


def test_a_run_that_was_stopped_says_why():
    stopped = Ending(state=State.FAILED, code="clone.dns", detail="no such host")
    assert run_ending([Ending(state=State.CANCELLED)], stopped) == stopped


def test_a_run_without_success_names_the_first_variation_that_ended_like_it():
    endings = [Ending(state=State.FAILED, code="a", detail="b"), Ending(state=State.LOST, code="c", detail="d")]
    ending = run_ending(endings, None)
    assert (ending.state, ending.code) == (State.LOST, "c")
    assert "d" in ending.detail
