from itertools import combinations_with_replacement

import pytest

from service.run import ENDED, OPEN, State, run_state

S, F, C, T, L = State.SUCCEEDED, State.FAILED, State.CANCELLED, State.TIMED_OUT, State.LOST


@pytest.mark.parametrize(
    ("variations", "state"),
    [
        ([S], S), ([F], F), ([T], T), ([L], L),
        ([S, F], S), ([S, L], S), ([S, T], S), ([S, C], S), ([S, F, T, L, C], S),
        ([L, F], L), ([L, T], L), ([L, C], L),
        ([T, T], T), ([T, F], F), ([T, C], F), ([F, F], F), ([F, C], F), ([C, C], F),
    ],
)  # fmt: skip
def test_a_run_s_state_comes_of_its_variations(variations: list[State], state: State):
    assert run_state(variations, cancelled=False) is state
    assert run_state(variations[::-1], cancelled=False) is state


def test_a_run_that_was_cancelled_is_cancelled_whatever_became_of_its_variations():
    for variations in combinations_with_replacement(ENDED, 3):
        assert run_state(variations, cancelled=True) is C
        assert run_state(variations, cancelled=False) in ENDED


def test_a_state_is_open_or_ended():
    assert set(State) == OPEN | ENDED
    assert not OPEN & ENDED
