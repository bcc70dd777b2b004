"""The demo's live display: the state of the service in a few lines, updated every second."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any

import asyncpg
import orjson
from prometheus_client import REGISTRY
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from alerts import wording
from api.cli.shipments import shown
from telemetry.model import Source

EVENTS_SHOWN = 8
_RATE_OVER_S = 5.0

COUNTS = """
SELECT (SELECT count(*) FROM shipments WHERE status = 'in_transit') AS in_transit,
       (SELECT count(*) FROM shipments WHERE status = 'delivered') AS delivered,
       (SELECT count(*) FROM excursions WHERE state = 'open') AS open,
       (SELECT count(*) FROM excursions WHERE state = 'closed') AS closed,
       (SELECT count(*) FROM alerts WHERE state = 'firing') AS firing,
       (SELECT count(*) FROM incidents WHERE state = 'open') AS incidents,
       (SELECT count(*) FROM alerts WHERE state <> 'resolved' AND owner IS NULL) AS unowned,
       (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(marked_at)), 0)
        FROM evaluation_marks) AS lag_s
"""

LAST_EVENTS = """
SELECT created_at, type, shipment_id, data FROM outbox ORDER BY id DESC LIMIT $1
"""

COLOURS = {
    "excursion.opened": "bold red",
    "excursion.became_critical": "bold red",
    "alert.firing": "red",
    "excursion.amended": "yellow",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event, as a line of the display."""

    at: datetime
    type: str
    shipment_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state of the service at one moment."""

    in_transit: int
    delivered: int
    open: int
    closed: int
    firing: int
    incidents: int
    unowned: int
    lag_s: float
    readings: int
    readings_per_s: float
    events: tuple[Told, ...]

    def line(self) -> str:
        """Return the snapshot as one plain line."""
        return (
            f"shipments {self.in_transit} in transit, {self.delivered} delivered; "
            f"readings {self.readings} ({self.readings_per_s:.0f}/s); evaluation lag {self.lag_s:.2f} s; "
            f"excursions {self.open} open, {self.closed} closed; alerts firing {self.firing}, "
            f"without an owner {self.unowned}; incidents open {self.incidents}"
        )

    def render(self) -> RenderableType:
        """Return the snapshot as a row of figures with the last events below."""
        figures = Table(box=SIMPLE_HEAD, header_style="dim", padding=(0, 2, 0, 0))
        shown = list(self._figures())
        for heading, _, _ in shown:
            figures.add_column(heading)
        figures.add_row(*(Text(value, style=style) for _, value, style in shown))
        events = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for told in self.events:
            name = Text(told.type, style=COLOURS.get(told.type, "dim"))
            events.add_row(f"{told.at:%H:%M:%S}", name, told.shipment_id, Text(told.text))
        return Group(figures, events if self.events else Text("no event yet", style="dim"))

    def _figures(self) -> Iterable[tuple[str, str, str]]:
        """Yield heading, value and style of each figure; only what needs attention is highlighted."""
        yield "shipments", f"{self.in_transit} in transit, {self.delivered} delivered", ""
        yield "readings stored", f"{self.readings} ({self.readings_per_s:.0f}/s)", ""
        yield "evaluation lag", f"{self.lag_s:.2f} s", "yellow" if self.lag_s > 1 else ""
        yield "excursions", f"{self.open} open, {self.closed} closed", "bold red" if self.open else ""
        alerts = f"{self.firing} firing, {self.unowned} without an owner"
        yield "alerts", alerts, "bold red" if self.firing else ""
        yield "incidents", f"{self.incidents} open", "bold red" if self.incidents else ""


class Watch:
    """Takes snapshots of one service, and keeps the counts of the last seconds to work out a rate."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._counts: deque[tuple[float, int]] = deque()

    async def snapshot(self) -> Snapshot:
        """Take a snapshot now."""
        counts = await self._pool.fetchrow(COUNTS)
        events = await self._pool.fetch(LAST_EVENTS, EVENTS_SHOWN)
        assert counts is not None
        readings = _readings_stored()
        return Snapshot(
            in_transit=counts["in_transit"],
            delivered=counts["delivered"],
            open=counts["open"],
            closed=counts["closed"],
            firing=counts["firing"],
            incidents=counts["incidents"],
            unowned=counts["unowned"],
            lag_s=float(counts["lag_s"]),
            readings=readings,
            readings_per_s=self._rate(readings),
            events=tuple(_told(row) for row in reversed(events)),
        )

    def _rate(self, readings: int) -> float:
        now = monotonic()
        self._counts.append((now, readings))
        while len(self._counts) > 2 and now - self._counts[0][0] > _RATE_OVER_S:
            self._counts.popleft()
        since, before = self._counts[0]
        return (readings - before) / (now - since) if now > since else 0.0


def _readings_stored() -> int:
    counts = (
        REGISTRY.get_sample_value("dewarwatch_readings_stored_total", {"source": way}) for way in Source
    )
    return int(sum(count or 0 for count in counts))


def _told(row: asyncpg.Record) -> Told:
    return Told(
        at=row["created_at"],
        type=row["type"],
        shipment_id=shown(row["shipment_id"] or ""),
        text=_text(orjson.loads(row["data"])),
    )


def _text(data: dict[str, Any]) -> str:
    for words in ("message", "headline"):
        if words in data:
            owner = f" ({data['owner']})" if data.get("owner") else ""
            return f"{data[words]}{owner}"
    if "peak_c" in data:
        return f"{data['side']} since {data['start'][:19]}Z, peak {wording.temperature(data['peak_c'])}, {data['severity']}"
    return str(data.get("status", ""))
