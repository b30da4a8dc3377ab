from hypothesis import given
from hypothesis import strategies as st

from agent_image.events import Finished, Outcome, Said
from service.tally import Tally


def finished(n: int) -> Finished:
    return Finished(n=n, at=0, outcome=Outcome.SUBMITTED, exit=0, seconds=0)


@given(st.integers(1, 50).flatmap(lambda count: st.permutations(range(1, count + 1))))
def test_it_is_complete_when_every_number_is_there_in_whatever_order(numbers: list[int]):
    tally, count = Tally(), len(numbers)
    for number in numbers:
        assert not tally.is_complete
        assert tally.is_new(finished(count) if number == count else Said(n=number, at=0))
    assert tally.is_complete


@given(st.lists(st.integers(1, 20), min_size=1))
def test_each_number_is_new_once(numbers: list[int]):
    tally = Tally()
    assert sum(tally.is_new(Said(n=number, at=0)) for number in numbers) == len(set(numbers))


def test_without_the_last_event_it_is_not_complete():
    tally = Tally()
    assert tally.is_new(Said(n=1, at=0))
    assert not tally.is_complete


def test_what_was_no_event_has_no_number_and_is_always_new():
    tally = Tally()
    assert tally.is_new(Said(n=0, at=0))
    assert tally.is_new(Said(n=0, at=0))
