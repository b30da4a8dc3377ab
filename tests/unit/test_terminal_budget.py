"""What a run of `dagger call` may use."""

from math import inf, nan
from pathlib import Path

import pytest

import agent_image
from aideator.budget import PRICES, Budget, check_priced

BUNDLED = (Path(agent_image.__file__).parent / PRICES).read_text()


def test_each_variation_that_asks_models_has_an_equal_share():
    budget = Budget(usd=1.0, tokens=10, calls=5)
    budget.check(2)
    assert budget.share(2) == {"usd": 0.5, "tokens": 5, "calls": 2}


def test_a_limit_that_is_not_given_is_none():
    Budget().check(2)
    assert Budget().share(2) == {}


@pytest.mark.parametrize("usd", [-1.0, nan, inf])
def test_dollars_that_are_no_limit_are_refused(usd: float):
    with pytest.raises(ValueError, match=r"^--budget-usd "):
        Budget(usd=usd).check(0)


@pytest.mark.parametrize(("budget", "flag"), [(Budget(calls=-1), "calls"), (Budget(tokens=-1), "tokens")])
def test_a_limit_below_nothing_is_refused(budget: Budget, flag: str):
    with pytest.raises(ValueError, match=f"^--budget-{flag} "):
        budget.check(0)


def test_a_limit_that_leaves_less_than_one_for_each_is_refused():
    with pytest.raises(ValueError, match=r"^--budget-calls: 3 variations ask models: not one call for each"):
        Budget(calls=2).check(3)
    with pytest.raises(ValueError, match=r"^--budget-tokens: 3 variations ask models: not one token for each"):
        Budget(tokens=2).check(3)
    Budget(tokens=3, calls=3).check(3)
    Budget(calls=1).check(0)


@pytest.mark.parametrize("suffix", ["", "-20260101", "-2026-01-01"])
def test_a_model_has_the_price_of_its_name_without_a_date(suffix: str):
    check_priced([f"anthropic/claude-fable-5{suffix}"], BUNDLED)


def test_a_model_whose_price_nobody_knows_is_refused_by_its_name():
    with pytest.raises(ValueError, match=r"^--budget-usd: .*anthropic/fake-model"):
        check_priced(["anthropic/claude-fable-5", "anthropic/fake-model"], BUNDLED)
