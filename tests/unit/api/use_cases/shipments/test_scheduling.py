"""Planned times, one after the other as on a journey."""

from typing import Any

import pytest

from api.refusals import Invalid
from api.use_cases.shipments.lifecycle import Leg
from api.use_cases.shipments.scheduling import check_order
from telemetry.ingest.validate_reading import parse_instant

ONE, TWO, THREE = (parse_instant(f"2026-11-2{day}T00:00:00Z") for day in (1, 2, 3))


def leg(departs: Any = None, arrives: Any = None) -> dict[str, str | None]:
    return Leg(from_="A", to="B", planned_departure=departs, planned_arrival=arrives).stored()


def schedule(departs: Any = None, arrives: Any = None, *legs: dict[str, str | None]) -> dict[str, Any]:
    return {"planned_departure": departs, "planned_arrival": arrives, "legs": legs}


@pytest.mark.parametrize(
    "planned",
    [
        schedule(),
        schedule(ONE, ONE),  # an instant is no time, but no journey back in time either
        schedule(ONE),
        schedule(ONE, THREE, leg(ONE, TWO), leg(TWO, THREE)),
        schedule(None, None, leg(None, THREE), leg(None, ONE)),
    ],
)
def test_what_comes_one_after_the_other_is_taken(planned: dict[str, Any]) -> None:
    check_order(planned)


@pytest.mark.parametrize(
    ("planned", "field"),
    [
        (schedule(TWO, ONE), "planned_arrival"),
        (schedule(None, None, leg(ONE, TWO), leg(THREE, TWO)), "legs[1].planned_arrival"),
        (schedule(None, None, leg(ONE, THREE), leg(TWO, THREE)), "legs[1].planned_departure"),
    ],
)
def test_what_would_arrive_before_it_departs_is_refused_by_its_field(
    planned: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        check_order(planned)
    assert list(refused.value.fields) == [field]
