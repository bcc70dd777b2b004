from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from alerts.evaluation.load_facts import Context, facts_of
from alerts.excursions.plan import Plan, make_plan
from alerts.model import SECOND, to_instant
from alerts.rules.facts import Charge, Facts
from alerts.rules.place import Place
from telemetry.registry.ids import key_of

DEPARTED = datetime(2026, 11, 23, 5, tzinfo=UTC)
SITE: dict[str, Any] = {
    "site_id": "FRA",
    "organization": "acme",
    "name": "Clinic of Frankfurt",
    "kind": "site_of_care",
    "lat": 50.1,
    "lon": 8.66,
    "radius_m": 300.0,
    "timezone": "Europe/Berlin",
    "stores": ["cryogenic"],
    "receiving_hours": {"mon": [["08:00", "17:00"]]},
}
_NOTHING = dict.fromkeys(
    (
        "delivered_at",
        "cancelled_at",
        "planned_departure",
        "planned_arrival",
        "packed_out_at",
        "use_by",
        "origin",
        "dewar_id",
        "hold_time_h",
        "ln2_capacity_kg",
        "qualified_until",
    )
)


def facts(organization: str | None = "acme", site: dict[str, Any] | None = None, **changes: Any) -> Facts:
    plan = make_plan("cryogenic", {})
    assert isinstance(plan, Plan)
    row = _NOTHING | {
        "shipment_id": "S1",
        "organization": organization,
        "departed_at": DEPARTED,
        "plan": orjson.dumps(plan.to_json()).decode(),
        "destination": "FRA",
        "legs": '[{"from": "the back door", "to": "ZRH"}, {"from": "ZRH", "to": "FRA"}]',
        **changes,
    }
    named = SITE | (site or {})
    key = key_of("FRA", named["organization"])
    stored = {"site_id": key, "site": orjson.dumps(named).decode()}
    charge = Charge(at=to_instant(DEPARTED), ln2_kg=9.5)
    around = Context(sites={key: stored}, charges={"S1": (charge,)})
    made = facts_of(row, [{"device_id": "LOG-1", "interval_s": 60}], around)
    assert made is not None
    return made


def test_a_site_goes_before_the_airport_of_its_name() -> None:
    place = facts().destination
    assert place is not None
    assert (place.name, place.radius_m, place.airport) == ("Clinic of Frankfurt", 300, False)
    assert place.stores == {"cryogenic"}
    assert place.hours is not None
    assert place.hours.is_open(datetime(2026, 11, 23, 7, tzinfo=UTC))
    assert not place.hours.is_open(datetime(2026, 11, 23, 6, tzinfo=UTC))


@pytest.mark.parametrize(("organization", "name"), [("other", "FRA"), (None, "FRA")])
def test_the_site_of_a_stranger_is_not_meant(organization: str | None, name: str) -> None:
    place = facts(organization).destination
    assert place is not None
    assert place.name == name
    assert place.airport == (name == "FRA")


def test_a_site_that_is_an_airport_and_says_little() -> None:
    place = facts(site={"kind": "airport", "stores": None, "receiving_hours": None}).destination
    assert place is not None
    assert place.airport
    assert place.stores is None


def test_of_free_text_only_the_name_is_known() -> None:
    legs = facts().legs
    assert legs[0].start == Place(name="the back door")
    assert legs[0].end.airport
    assert legs[1].end.name == "Clinic of Frankfurt"
    assert facts(destination=None).destination is None


def test_the_charges_of_the_dewar() -> None:
    dewar = facts(dewar_id="DEW-1", hold_time_h=240).dewar
    assert dewar is not None
    assert dewar.hold_time == 240 * 3600 * SECOND
    assert dewar.charges == (Charge(at=to_instant(DEPARTED), ln2_kg=9.5),)
    other = facts(shipment_id="S2", dewar_id="DEW-1").dewar
    assert other is not None
    assert other.charges == ()


def test_how_often_each_logger_measures() -> None:
    assert facts().interval == {"LOG-1": 60 * SECOND}


def test_before_departure_nothing_is_judged() -> None:
    assert facts_of(_NOTHING | {"departed_at": None}, [], Context(sites={}, charges={})) is None


def test_the_key_changes_with_what_folds_read_and_with_nothing_else() -> None:
    same = (
        facts(site={"name": "Clinic", "stores": ["room"]}),
        facts(qualified_until=DEPARTED, cancelled_at=DEPARTED),
    )
    assert {one.key for one in same} == {facts().key}
    others = (
        facts(use_by=DEPARTED),
        facts(planned_arrival=DEPARTED),
        facts(packed_out_at=DEPARTED),
        facts(departed_at=DEPARTED.replace(hour=4)),
        facts(legs="[]"),
        facts(destination="ZRH"),
        facts(dewar_id="W1", hold_time_h=240.0),
        facts(dewar_id="W1", hold_time_h=100.0),
        facts(dewar_id="W1", hold_time_h=100.0, ln2_capacity_kg=4.5),
        facts(site={"lat": 50.2}),
        facts(site={"radius_m": 500.0}),
        facts(site={"receiving_hours": None}),
        facts(organization="other"),
    )
    assert len({facts().key, *(one.key for one in others)}) == 1 + len(others)
    where_it_begins = [
        facts(origin="FRA", destination="ZRH", site={"receiving_hours": h}).key
        for h in (None, SITE["receiving_hours"])
    ]
    assert len(set(where_it_begins)) == 1  # when an origin receives is nothing to a shipment that leaves it
