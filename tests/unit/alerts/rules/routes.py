"""A route by road and air, for the tests of route and arrival rules: a clinic, Zurich, Frankfurt, New York."""

from collections.abc import Iterable
from datetime import UTC, datetime
from math import nan

import numpy as np

from alerts.excursions.plan import Plan, make_plan
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, Instant, Window, to_instant
from alerts.rules.facts import Facts, Leg
from alerts.rules.place import Place
from alerts.rules.rule import LookTime
from telemetry.registry.receiving_hours import ReceivingHours, parse_receiving_hours

HOUR = 3600 * SECOND
MINUTE = 60 * SECOND


def at(text: str) -> Instant:
    """An instant of December 2026, as `day hh:mm` in UTC."""
    day, clock = text.split()
    return to_instant(datetime.fromisoformat(f"2026-12-{day}T{clock}:00").replace(tzinfo=UTC))


CLINIC = Place(name="CLINIC", lat=47.3769, lon=8.5417, radius_m=1000)
ZRH = Place(name="ZRH", lat=47.4582, lon=8.5481, airport=True)
FRA = Place(name="FRA", lat=50.0264, lon=8.5431, airport=True)
JFK = Place(name="JFK", lat=40.6399, lon=-73.7787, airport=True)
NEW_YORK = Place(
    name="MSK",
    lat=40.7643,
    lon=-73.9566,
    radius_m=1000,
    stores=frozenset({"cryogenic"}),
    hours=parse_receiving_hours(
        "America/New_York", {key: [["08:00", "17:00"]] for key in ("mon", "tue", "wed", "thu", "fri")}
    ),
)

LEGS = (
    Leg(start=CLINIC, end=ZRH, planned_departure=at("01 06:00"), planned_arrival=at("01 07:00")),
    Leg(start=ZRH, end=FRA, planned_departure=at("01 10:00"), planned_arrival=at("01 11:00")),
    Leg(start=FRA, end=JFK, planned_departure=at("01 14:00"), planned_arrival=at("01 22:30")),
    Leg(start=JFK, end=NEW_YORK, planned_departure=at("02 12:00"), planned_arrival=at("02 14:00")),
)


def plan(band: str = "cryogenic") -> Plan:
    made = make_plan(band, {})
    assert isinstance(made, Plan)
    return made


def facts(**changes: object) -> Facts:
    """The shipment as planned; it left its clinic at six."""
    given: dict[str, object] = {
        "plan": plan(),
        "window": Window(departed_at=at("01 06:00")),
        "origin": CLINIC,
        "destination": NEW_YORK,
        "legs": LEGS,
        "planned_departure": at("01 06:00"),
        "planned_arrival": at("02 14:00"),
        "use_by": at("05 14:00"),
    }
    return Facts(**(given | changes))  # type: ignore[arg-type]


def look_time(text: str) -> LookTime:
    return LookTime(through=at(text), watched_from=at("01 06:00"))


def seen(*positions: tuple[str, float, float] | tuple[str, Place]) -> Trace:
    """A trace of positions: when, and where by degrees or at which place."""
    rows = [
        (when, where[0].lat, where[0].lon) if len(where) == 1 else (when, *where)
        for when, *where in positions
    ]
    return trace((at(when), lat, lon) for when, lat, lon in rows)


def trace(positions: Iterable[tuple[Instant, float, float]], accuracy_m: float = nan) -> Trace:
    rows = list(positions)
    channels = {
        Channel.LAT: np.array([row[1] for row in rows], float),
        Channel.LON: np.array([row[2] for row in rows], float),
        Channel.ACCURACY_M: np.full(len(rows), accuracy_m),
    }
    return Trace(np.array([row[0] for row in rows], np.int64), np.full(len(rows), -190.0), channels)


def closed_on(*dates: str) -> ReceivingHours:
    """Always open, but on these."""
    whole = [["00:00", "24:00"]]
    days = dict.fromkeys(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), whole)
    return parse_receiving_hours("America/New_York", {**days, "closed_dates": list(dates)})
