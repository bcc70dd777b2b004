"""What events tell of a shipment, beside what the document says that they tell."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.excursions.plan import Band, Plan, make_plan
from api.http.schemas.shipments import ShipmentState
from api.use_cases.shipments.event_data import shipment_data
from api.use_cases.shipments.lifecycle import Leg

AT = datetime(2026, 11, 21, 3, 45, tzinfo=UTC)


def row(plan: dict[str, Any], **values: Any) -> dict[str, Any]:
    times = ("planned_departure", "planned_arrival", "packed_out_at", "use_by")
    whole = {
        "shipment_id": "S1",
        "organization": None,
        "status": "planned",
        "band": plan["band"],
        "plan": plan,
        "plan_revision": 1,
        "schedule_revision": 1,
        "dewar_id": None,
        "product_id": None,
        "origin": None,
        "destination": None,
        "legs": [],
        "overrides": [],
        "use_within_h": None,
        "drill": False,
        "created_at": AT,
        **dict.fromkeys((*times, "departed_at", "delivered_at", "cancelled_at")),
    }
    return whole | values


def plan(band: Band, **fields: Any) -> dict[str, Any]:
    made = make_plan(band, fields)
    assert isinstance(made, Plan)
    return made.to_json()


LEGS = [
    Leg(from_="FRA", to="JFK", carrier="LH", planned_departure=AT, planned_arrival=AT + timedelta(hours=9)),
    Leg(from_="JFK", to="CLINIC-BOS"),
]
ROWS = {
    "bare": row(plan(Band.CRYOGENIC)),
    "full": row(
        plan(Band.CUSTOM, lower_c=2, upper_c=8.25, budget_s=7200, on_delay_s=0.5, time_lapse=60),
        organization="acme",
        status="delivered",
        dewar_id="D1",
        product_id="P1",
        origin="FRA",
        destination="CLINIC-BOS",
        legs=[leg.stored() for leg in LEGS],
        use_within_h=240.0,
        use_by=AT + timedelta(microseconds=1),
        drill=True,
        departed_at=AT,
        delivered_at=AT + timedelta(days=2),
    ),
    "tuned": row(
        plan(
            Band.ROOM,
            rules={"signal_lost": {"max_gap_s": 3600, "enabled": True}, "shock": {"enabled": False}},
        )
    ),
    "of before there were rules": row(
        {name: value for name, value in plan(Band.ROOM).items() if name not in {"rules", "time_lapse"}}
    ),
}


@pytest.mark.parametrize("shipment", ROWS.values(), ids=ROWS)
def test_it_is_told_as_it_is_described(shipment: dict[str, Any]) -> None:
    told = shipment_data(shipment, ["L1", "L2"])
    described = ShipmentState.of(shipment, ["L1", "L2"]).model_dump(mode="json", by_alias=True)
    assert told == described
    assert _types(told) == _types(described)


def _types(value: Any) -> Any:
    """The shape of a value: 150 and 150.0 are equal, and written differently."""
    if isinstance(value, dict):
        return {name: _types(one) for name, one in value.items()}
    return [_types(one) for one in value] if isinstance(value, list) else type(value).__name__
