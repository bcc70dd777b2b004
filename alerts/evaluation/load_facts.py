"""Loads what is known of shipments beside their readings: plan, window, dewar, route and times."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias

import asyncpg
import orjson

from alerts.alert_kinds import kinds_that
from alerts.evaluation.airports_file import airport_index, airports
from alerts.evaluation.judging.departure import DepartureFacts
from alerts.evaluation.judging.outage import STANDS_FOR_SINGLES
from alerts.evaluation.resume import judged_window_of
from alerts.excursions.plan import Plan
from alerts.model import SECOND, AlertKind, Instant, to_instant
from alerts.rules.facts import Charge, Dewar, Facts, Leg
from alerts.rules.place import Place
from alerts.triage.rows import StoredRow, optional_instant
from alerts.work.bulk import Connection
from telemetry.registry.ids import meant
from telemetry.registry.places import site_named
from telemetry.registry.receiving_hours import parse_receiving_hours

LOAD_SHIPMENTS: Final = f"""
SELECT s.shipment_id, s.organization, s.drill, s.plan::text AS plan, s.plan_revision, s.departed_at, s.delivered_at, s.cancelled_at,
    s.created_at, s.origin, s.destination, s.legs::text AS legs, s.planned_departure, s.planned_arrival, s.packed_out_at, s.use_by,
    CASE WHEN s.departed_at IS NULL THEN EXISTS (
        SELECT FROM evaluation_states AS e WHERE e.shipment_id = s.shipment_id) END AS was_judged,
    s.dewar_id, d.hold_time_h, d.ln2_capacity_kg, d.qualified_until, clock_timestamp() AS looked_at,
    (SELECT min(r.recorded_at) FROM shipment_revisions AS r
        WHERE r.shipment_id = s.shipment_id AND r.departed_at IS NOT NULL) AS departure_recorded_at,
    {STANDS_FOR_SINGLES} AS fleet_is_silent,
    coalesce((SELECT e.judged_revision FROM evaluations AS e WHERE e.shipment_id = s.shipment_id), 0) AS judged_revision,
    coalesce((SELECT max(r.revision) FROM shipment_revisions AS r WHERE r.shipment_id = s.shipment_id), 0) AS newest_revision
FROM shipments AS s LEFT JOIN dewars AS d USING (dewar_id) WHERE s.shipment_id = ANY($1::text[])
"""  # noqa: S608 - our own words


async def load_shipments(connection: Connection, shipment_ids: Sequence[str]) -> Mapping[str, asyncpg.Record]:
    """Load shipments with their dewars, by id."""
    rows = await connection.fetch(LOAD_SHIPMENTS, shipment_ids)
    return {row["shipment_id"]: row for row in rows}


def held_back(shipment: StoredRow) -> frozenset[AlertKind]:
    """Return the kinds that raise no single alerts now, because one for the whole fleet covers them."""
    return _FLEET_KINDS if shipment["fleet_is_silent"] else frozenset()


_FLEET_KINDS: Final = kinds_that(lambda row: row.of_fleet)


# As text, so that a site is parsed once per revision, not once per shipment and cycle.
_LOAD_SITES: Final = """
SELECT site_id, to_jsonb(sites)::text AS site FROM sites WHERE site_id = ANY($1::text[])
"""

# Those of the operating organization and of the shipment's own; of another organization, what it did before the shipment
# got the dewar, if that was on record by then. So nobody moves the forecast of a shipment that is not its own.
_LOAD_CHARGES: Final = """
SELECT s.shipment_id, c.charged_at, c.ln2_kg
FROM shipments AS s JOIN dewar_charges AS c USING (dewar_id)
    LEFT JOIN dewar_assignments AS a ON a.shipment_id = s.shipment_id AND a.dewar_id = s.dewar_id
WHERE s.shipment_id = ANY($1::text[]) AND NOT c.withdrawn
    AND (c.organization IS NULL OR c.organization = s.organization
         OR greatest(c.charged_at, c.recorded_at) < a.starts_at)
ORDER BY s.shipment_id, c.charged_at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What several shipments may share, the sites on their routes; and by shipment, the charges that count for it."""

    sites: Mapping[str, StoredRow]
    charges: Mapping[str, tuple[Charge, ...]]


async def load_context(connection: Connection, shipments: Iterable[StoredRow]) -> Context:
    """Load what the shipments refer to, in at most two statements."""
    names, in_dewars = set(), []
    for shipment in shipments:
        if shipment["departed_at"] is not None:
            names |= {
                key for place in _named_places(shipment) for key in meant(place, shipment["organization"])
            }
            if shipment["dewar_id"] is not None:
                in_dewars.append(shipment["shipment_id"])
    sites = await connection.fetch(_LOAD_SITES, list(names)) if names else []
    charges = defaultdict(list)
    for row in await connection.fetch(_LOAD_CHARGES, in_dewars) if in_dewars else []:
        charges[row["shipment_id"]].append(Charge(at=to_instant(row["charged_at"]), ln2_kg=row["ln2_kg"]))
    return Context(
        sites={row["site_id"]: row for row in sites},
        charges={shipment_id: tuple(found) for shipment_id, found in charges.items()},
    )


_LOAD_NUMBERS: Final = """
SELECT device_id, boot, lower(came) AS first, upper(came) - 1 AS last
FROM logger_sequences, unnest(received) AS came WHERE device_id = ANY($1::text[]) ORDER BY device_id, boot, first
"""

Numbers: TypeAlias = Mapping[int, Sequence[tuple[int, int]]]
"""The numbers of a logger that came, stored or refused: ranges for each boot, ascending, first and last included."""


async def load_numbers(connection: Connection, device_ids: Sequence[str]) -> Mapping[str, Numbers]:
    """Load which numbers of these loggers have come in any way."""
    came: defaultdict[str, defaultdict[int, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for row in await connection.fetch(_LOAD_NUMBERS, device_ids) if device_ids else []:
        came[row["device_id"]][row["boot"]].append((row["first"], row["last"]))
    return {device_id: dict(boots) for device_id, boots in came.items()}


def facts_of(shipment: StoredRow, devices: Iterable[StoredRow], context: Context) -> Facts | None:
    """Return the facts of a shipment from its row, its loggers' rows and its context; None before departure."""
    window = judged_window_of(shipment)
    if window is None:
        return None
    places = {name: _place(name, shipment, context) for name in _named_places(shipment)}
    return Facts(
        plan=plan_of(shipment["plan"]),
        window=window,
        dewar=None if shipment["dewar_id"] is None else _dewar(shipment, context),
        origin=places.get(shipment["origin"]),
        destination=places.get(shipment["destination"]),
        legs=tuple(_leg(leg, places) for leg in _legs(shipment["legs"])),
        planned_departure=optional_instant(shipment["planned_departure"]),
        planned_arrival=optional_instant(shipment["planned_arrival"]),
        packed_out_at=optional_instant(shipment["packed_out_at"]),
        use_by=optional_instant(shipment["use_by"]),
        airports=airport_index(),
        interval={
            row["device_id"]: round(row["interval_s"] * SECOND)
            for row in devices
            if row["interval_s"] is not None
        },
    )


def departure_facts_of(shipment: StoredRow) -> DepartureFacts:
    """Return the facts of a shipment's departure from its row."""
    return DepartureFacts(
        plan=plan_of(shipment["plan"]),
        known_from=to_instant(shipment["created_at"]),
        planned=optional_instant(shipment["planned_departure"]),
        departed_at=optional_instant(shipment["departed_at"]),
        ended_at=optional_instant(shipment["cancelled_at"]),
    )


def watched_from(shipment: StoredRow) -> Instant:
    """Return since when a shipment's departure has been on record, or the shipment itself before that."""
    times = (shipment["created_at"], shipment["departed_at"], shipment["departure_recorded_at"])
    return to_instant(max(time for time in times if time is not None))


@lru_cache(maxsize=1024)
def plan_of(stored: str) -> Plan:
    """Parse a stored plan, cached because most shipments share theirs with many others."""
    return Plan.from_json(orjson.loads(stored))


def _dewar(row: StoredRow, context: Context) -> Dewar:
    hold_time_h = row["hold_time_h"]
    return Dewar(
        dewar_id=row["dewar_id"],
        hold_time=None if hold_time_h is None else round(hold_time_h * 3600 * SECOND),
        ln2_capacity_kg=row["ln2_capacity_kg"],
        charges=context.charges.get(row["shipment_id"], ()),
        qualified_until=optional_instant(row["qualified_until"]),
    )


def _named_places(shipment: StoredRow) -> set[str]:
    ends = {shipment["origin"], shipment["destination"]}
    ends.update(name for leg in _legs(shipment["legs"]) for name in (leg["from"], leg["to"]))
    return ends - {None}


def _place(name: str, shipment: StoredRow, context: Context) -> Place:
    """Return the place that a shipment names: its own or a shared site, an airport, or one without position."""
    site = site_named(name, shipment["organization"], context.sites)
    if site is not None:
        return _site(site["site"])
    return airports().get(name) or Place(name=name)


@lru_cache(maxsize=4096)
def _site(stored: str) -> Place:
    row = orjson.loads(stored)
    return Place(
        name=row["name"],
        lat=row["lat"],
        lon=row["lon"],
        radius_m=row["radius_m"],
        airport=row["kind"] == "airport",
        stores=None if row["stores"] is None else frozenset(row["stores"]),
        hours=parse_receiving_hours(row["timezone"], row["receiving_hours"]),
    )


@lru_cache(maxsize=1024)
def _legs(stored: str) -> tuple[Mapping[str, Any], ...]:
    return tuple(orjson.loads(stored))


def _leg(leg: Mapping[str, Any], places: Mapping[str, Place]) -> Leg:
    return Leg(
        start=places[leg["from"]],
        end=places[leg["to"]],
        carrier=leg.get("carrier"),
        planned_departure=_instant(leg.get("planned_departure")),
        planned_arrival=_instant(leg.get("planned_arrival")),
    )


@lru_cache(maxsize=4096)
def _instant(text: str | None) -> Instant | None:
    return None if text is None else to_instant(datetime.fromisoformat(text))
