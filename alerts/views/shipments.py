"""Shipments as a list shows them: the row, the health, the counts, the loggers and the sites, in three queries a page."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.views.health import health, open_excursions, taken_away_by_people, worst_severity
from telemetry.paging import Page, fetch_page
from telemetry.registry.ids import meant
from telemetry.registry.places import places_of, site_named
from telemetry.registry.shipments import ORDER, devices_on
from telemetry.registry.sites import find_sites
from telemetry.tables import device_assignments, shipments


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenShipment:
    """A shipment as lists show it."""

    row: RowMapping
    """With `health`, `open_excursions`, `worst_severity` and `taken_away_by_people`."""
    devices: Sequence[RowMapping]
    """Its loggers, with the last known state of those that are on it now."""
    sites: Mapping[str, RowMapping]
    """Those of its places that are sites, by id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentFilter:
    """Which shipments to list; None or nothing leaves a thing open."""

    statuses: Collection[str] = ()
    bands: Collection[str] = ()
    healths: Collection[str] = ()
    text: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return what must hold for a row of `shipments`."""
        found: list[ColumnElement[bool]] = []
        if self.statuses:
            found.append(shipments.c.status.in_(self.statuses))
        if self.bands:
            found.append(shipments.c.band.in_(self.bands))
        if self.healths:
            found.append(health().in_(self.healths))
        if self.text is not None:
            found.append(_mentions(self.text))
        return found


def _mentions(text: str) -> ColumnElement[bool]:
    columns = ("shipment_id", "organization", "origin", "destination", "dewar_id", "product_id")
    on = device_assignments
    return or_(
        *(shipments.c[name].icontains(text, autoescape=True) for name in columns),
        exists().where(
            on.c.shipment_id == shipments.c.shipment_id, on.c.device_id.icontains(text, autoescape=True)
        ),
    )


async def shipment_page(
    connection: AsyncConnection,
    visible: ColumnElement[bool],
    wanted: ShipmentFilter,
    *,
    after: Sequence[Any] | None,
    limit: int,
) -> tuple[Page, dict[str, SeenShipment]]:
    """Load a page of shipments, the newest first, and each of them by id as it is shown."""
    query = _shipments().where(visible, *wanted.conditions())
    page = await fetch_page(connection, query, ORDER, after=after, limit=limit)
    return page, {seen.row["shipment_id"]: seen for seen in await _seen(connection, page.rows)}


async def shipment(
    connection: AsyncConnection, visible: ColumnElement[bool], shipment_id: str
) -> SeenShipment | None:
    """Load one shipment; None where there is none of this id that may be seen."""
    query = _shipments().where(visible, shipments.c.shipment_id == shipment_id)
    rows = (await connection.execute(query)).mappings().all()
    return next(iter(await _seen(connection, rows)), None)


async def _seen(connection: AsyncConnection, rows: Sequence[RowMapping]) -> list[SeenShipment]:
    devices = await devices_on(connection, [row["shipment_id"] for row in rows])
    places = [places_of(row) for row in rows]
    sites = await find_sites(
        connection,
        {
            key
            for row, named in zip(rows, places, strict=True)
            for place in named
            for key in meant(place, row["organization"])
        },
    )
    return [
        SeenShipment(row=row, devices=devices[row["shipment_id"]], sites=_meant(row, sites, mentioned))
        for row, mentioned in zip(rows, places, strict=True)
    ]


def _meant(
    shipment: RowMapping, sites: Mapping[str, RowMapping], places: Collection[str]
) -> dict[str, RowMapping]:
    found = {place: site_named(place, shipment["organization"], sites) for place in sorted(places)}
    return {place: site for place, site in found.items() if site is not None}


def _shipments() -> Select[Any]:
    return select(
        shipments,
        health().label("health"),
        open_excursions().label("open_excursions"),
        worst_severity().label("worst_severity"),
        taken_away_by_people().label("taken_away_by_people"),
    )
