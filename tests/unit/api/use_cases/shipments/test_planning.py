"""What a new shipment is judged by."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import RowMapping

from alerts.excursions.plan import Band, Plan, make_plan
from api.refusals import Invalid
from api.use_cases.shipments.planning import plan_of, tunable, use_by

PACKED = datetime(2026, 11, 20, 8, tzinfo=UTC)


def product(**fields: Any) -> RowMapping:
    plan = make_plan(Band.REFRIGERATED, fields)
    assert isinstance(plan, Plan)
    return cast("RowMapping", {"plan": plan.to_json()})


def test_a_payload_keeps_so_long_from_its_pack_out_on() -> None:
    assert use_by(PACKED, 240) == PACKED + timedelta(days=10)
    assert use_by(None, 240) is None
    assert use_by(PACKED, None) is None


def test_what_is_given_goes_before_what_the_product_brings() -> None:
    made = plan_of(None, {"upper_c": 9.0}, product(budget_s=60))
    assert (made.band, made.limits.upper_c, made.limits.lower_c) == (Band.REFRIGERATED, 9.0, 2)
    assert made.budget == 60_000_000
    another = plan_of(Band.ROOM, {}, product(budget_s=60))
    assert (another.band, another.limits.lower_c, another.budget) == (Band.ROOM, 15, 60_000_000)


def test_there_is_no_plan_without_a_band() -> None:
    with pytest.raises(Invalid, match=r"^band is required"):
        plan_of(None, {"upper_c": 9.0}, None)
    with pytest.raises(Invalid, match=r"^upper_c must be a number"):
        plan_of(Band.ROOM, {"upper_c": "warm"}, None)


def test_only_rules_that_there_are_can_be_tuned() -> None:
    tunable(None)
    tunable({"signal_lost": {"max_gap_s": 60.0}, "shock": None})
    with pytest.raises(Invalid) as refused:
        tunable({"signal_lost": {"picnic": 1.0}})
    assert list(refused.value.fields) == ["rules.signal_lost.picnic"]
