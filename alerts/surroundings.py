"""Reads what is known of shipments beside their readings: plan, window, dewar, way and times."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import orjson

from alerts.model import SECOND, Instant, to_instant
from alerts.plan import Plan
from alerts.resume import window_of
from alerts.rows import Row, instant
from alerts.rules.facts import Charge, Dewar, Facts, Leg, Place

LOAD_SHIPMENTS: Final = """
SELECT s.shipment_id, s.organization, s.drill, s.plan, s.plan_revision, s.departed_at, s.delivered_at, s.cancelled_at,
    s.created_at, s.origin, s.destination, s.legs, s.planned_departure, s.planned_arrival, s.packed_out_at, s.use_by,
    s.dewar_id, d.hold_time_h, d.ln2_capacity_kg, d.last_charged_at, d.qualified_until, clock_timestamp() AS looked_at
FROM shipments AS s LEFT JOIN dewars AS d USING (dewar_id) WHERE s.shipment_id = ANY($1::text[])
"""


def facts_of(shipment: Row, devices: Iterable[Row]) -> Facts | None:
    """Give the facts of a row of a shipment, and of those of its loggers; None before departure."""
    window = window_of(shipment)
    if window is None:
        return None
    return Facts(
        plan=plan_of(shipment["plan"]),
        window=window,
        dewar=None if shipment["dewar_id"] is None else _dewar(shipment),
        origin=_place(shipment["origin"]),
        destination=_place(shipment["destination"]),
        legs=_legs(shipment["legs"]),
        planned_departure=instant(shipment["planned_departure"]),
        planned_arrival=instant(shipment["planned_arrival"]),
        packed_out_at=instant(shipment["packed_out_at"]),
        use_by=instant(shipment["use_by"]),
        interval={
            row["device_id"]: round(row["interval_s"] * SECOND)
            for row in devices
            if row["interval_s"] is not None
        },
    )


@lru_cache(maxsize=1024)
def plan_of(stored: str) -> Plan:
    """Read a stored plan; most shipments have one that many have."""
    return Plan.from_json(orjson.loads(stored))


def _dewar(row: Row) -> Dewar:
    charged_at, hold_time_h = row["last_charged_at"], row["hold_time_h"]
    return Dewar(
        dewar_id=row["dewar_id"],
        hold_time=None if hold_time_h is None else round(hold_time_h * 3600 * SECOND),
        ln2_capacity_kg=row["ln2_capacity_kg"],
        charges=() if charged_at is None else (Charge(at=to_instant(charged_at)),),
        qualified_until=instant(row["qualified_until"]),
    )


def _place(name: str | None) -> Place | None:
    return None if name is None else Place(name=name)


@lru_cache(maxsize=1024)
def _legs(stored: str) -> tuple[Leg, ...]:
    return tuple(map(_leg, orjson.loads(stored)))


def _leg(leg: Mapping[str, Any]) -> Leg:
    return Leg(
        start=Place(name=leg["from"]),
        end=Place(name=leg["to"]),
        carrier=leg.get("carrier"),
        planned_departure=_instant(leg.get("planned_departure")),
        planned_arrival=_instant(leg.get("planned_arrival")),
    )


def _instant(text: str | None) -> Instant | None:
    return None if text is None else to_instant(datetime.fromisoformat(text))
