"""The table of limits: an operator changes some of them, and is told which part is wrong."""

import pytest

from api.http.app import ACTIONS
from api.rates.bucket import Rate
from api.rates.policy import WEIGHTS, Limited, Quotas, Rates, parse_quotas, parse_rates


def test_some_are_changed_and_the_others_stay() -> None:
    rates = parse_rates("calls_of_key=10/5, tests_of_key = 3/60,")
    assert rates == Rates(calls_of_key=Rate(most=10, within_s=5), tests_of_key=Rate(most=3, within_s=60))
    assert parse_rates("") == Rates()
    assert parse_quotas("sites=3,comments=7") == Quotas(sites=3, comments=7)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("calls=10/5", "'calls' is none of the limits: calls_of_key"),
        ("calls_of_key=10", "must look like calls_of_key=6000/60"),
        ("calls_of_key=0/5", "above 0"),
        ("calls_of_key=10/-5", "above 0"),
        ("calls_of_key=1e3/5", "above 0"),
        ("calls_of_key=" + "9" * 5000 + "/1", "above 0"),
        ("calls_of_key", "above 0"),
    ],
)
def test_what_is_wrong_is_named(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_rates(text)


def test_a_wrong_quota_is_named() -> None:
    with pytest.raises(ValueError, match="'boats' is none of the limits: backtests"):
        parse_quotas("boats=1")
    with pytest.raises(ValueError, match="must look like sites=20000"):
        parse_quotas("sites=many")


@pytest.mark.parametrize("what", [Limited.CALLS, Limited.READINGS, Limited.TESTS])
def test_operators_have_more_than_an_organization_and_that_more_than_a_key(what: Limited) -> None:
    key, all_, operator = (of(what) for of in (Rates().of_key, Rates().of_organization, Rates().of_operator))
    assert key.per_s < all_.per_s < operator.per_s
    assert key.most < all_.most < operator.most


def test_calls_with_a_weight_exist_and_fit() -> None:
    assert set(WEIGHTS) <= set(ACTIONS)
    assert max(WEIGHTS.values()) < Rates().calls_of_key.most / 10
