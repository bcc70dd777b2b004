"""`dewarwatch reevaluate`: judges shipments again from the start, and prints what changes or would change."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final, Protocol

import asyncpg
import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from alerts import wording
from alerts.evaluation.rebuild import (
    Failure,
    Rebuilt,
    RecordChange,
    StateChange,
    every_shipment,
    rebuild,
    unknown_shipments,
)
from alerts.excursions.phases import LoggerState
from alerts.excursions.telling import PeakTelling
from alerts.model import Excursion, Instant, to_datetime
from alerts.triage.payloads import excursion_data
from alerts.wording import instant_text
from api.cli.loop import stopped_by_signals
from api.cli.progress import count, progress
from api.cli.shipments import shipments_meant, shown
from api.database import check_database
from api.errors import StartError, UnfinishedError
from api.settings import DATABASE_HINT, Settings, SettingsError, required
from telemetry.actor import Actor, ActorKind
from telemetry.database.connections import OF_COMMANDS, engine_for, make_pool
from telemetry.registry.ids import id_of, organization_of

ACTOR: Final = Actor(ActorKind.COMMAND, "reevaluate")
_ROWS_SHOWN: Final = 200
"""The most rows of a table at a terminal; redirected output has all of them."""

Row = tuple[str, str, str, str, str]
_HEADINGS: Row = ("shipment", "logger", "change", "reason", "from → to")


async def reevaluate(
    settings: Settings, *, shipment_ids: Sequence[str], everything: bool, dry_run: bool, json: bool
) -> None:
    """Judge the shipments again; raise UnfinishedError if some failed or a signal stopped it first."""
    if bool(shipment_ids) == everything:
        raise SettingsError("choose what to judge again: --shipment ID, once for each, or --all")
    url = required(settings.database_url, "DATABASE_URL", DATABASE_HINT)
    await check_database(url, patience_s=settings.start_patience_s)
    async with make_pool(url, "dewarwatch-reevaluate", max_size=1, patience=OF_COMMANDS) as pool:
        ids = await _chosen(url, pool, shipment_ids)
        told = _Json() if json else _Lines(dry_run=dry_run)
        with (
            stopped_by_signals() as stop,
            progress(len(ids), "Looking at" if dry_run else "Judging again") as advance,
        ):
            peaks = settings.peak_telling
            totals = await _run(pool, ids, told, advance, peaks, stop=stop, dry_run=dry_run)
    told.end(totals)
    if totals.shipments < len(ids):
        raise UnfinishedError(
            f"stopped after {totals.shipments} of {len(ids)} shipments; what was done stays"
        )
    if totals.failures:
        raise UnfinishedError(f"{count(totals.failures, 'shipment')} could not be judged")


async def _chosen(url: str, pool: asyncpg.Pool, named: Sequence[str]) -> list[str]:
    if not named:
        async with pool.acquire() as connection:
            return await every_shipment(connection)
    engine = engine_for(url)
    try:
        async with engine.connect() as asking:
            shipment_ids = await shipments_meant(asking, named)
    finally:
        await engine.dispose()
    async with pool.acquire() as connection:
        if unknown := await unknown_shipments(connection, shipment_ids):
            raise StartError(f"there is no shipment {', '.join(map(shown, unknown))}: nothing was done")
    return sorted(set(shipment_ids))


@dataclass(slots=True, kw_only=True)
class Totals:
    """The totals of a run."""

    dry_run: bool
    shipments: int = 0
    readings: int = 0
    changes: int = 0
    alerts: int = 0
    states: int = 0
    failures: int = 0
    began: float = field(default_factory=perf_counter)
    seconds: float = 0.0

    def add(self, rebuilt: Rebuilt) -> None:
        """Add the result of one set of shipments."""
        self.shipments += rebuilt.shipments
        self.readings += rebuilt.readings
        self.changes += len(rebuilt.changes)
        self.alerts += rebuilt.alerts
        self.states += len(rebuilt.states)
        self.failures += len(rebuilt.failures)
        self.seconds = perf_counter() - self.began

    def line(self) -> str:
        """Return the totals as one line."""
        would = " would be" if self.dry_run else ""
        return (
            f"{count(self.shipments, 'shipment')} judged, {count(self.readings, 'reading')} folded "
            f"in {self.seconds:.1f} s;{would} changed: {count(self.changes, 'excursion')}, "
            f"{count(self.alerts, 'alert')}, {count(self.states, 'folded state')}; "
            f"{count(self.failures, 'failure')}"
        )


async def _run(
    pool: asyncpg.Pool,
    ids: Sequence[str],
    told: "_Told",
    advance: Callable[[int], None],
    peaks: PeakTelling,
    *,
    stop: asyncio.Event,
    dry_run: bool,
) -> Totals:
    totals = Totals(dry_run=dry_run)
    async for rebuilt in rebuild(pool, ids, dry_run=dry_run, stop=stop, actor=ACTOR, peaks=peaks):
        totals.add(rebuilt)
        told.take(rebuilt)
        advance(totals.shipments)
    return totals


class _Told(Protocol):
    """Prints results on standard output."""

    def take(self, rebuilt: Rebuilt) -> None:
        """Print or keep the result of one set of shipments."""

    def end(self, totals: Totals) -> None:
        """Print the totals, and whatever was kept."""


class _Json:
    """Prints one JSON object per line, the totals last."""

    def take(self, rebuilt: Rebuilt) -> None:
        for one in rebuilt.changes:
            change = one.change
            known = {"shipment_id": one.shipment_id, "device_id": one.device_id}
            self._print(
                {
                    "type": "excursion",
                    **_json_of(one.shipment_id),
                    "device_id": one.device_id,
                    "change": change.kind,
                    "reason": change.reason,
                    "before": None if change.before is None else excursion_data(change.before, **known),
                    "after": excursion_data(change.after, **known),
                }
            )
        for state in rebuilt.states:
            self._print(
                {
                    "type": "state",
                    **_json_of(state.shipment_id),
                    "device_id": state.device_id,
                    "before": _state_json(state.before),
                    "after": _state_json(state.after),
                }
            )
        for failure in rebuilt.failures:
            self._print({"type": "failure", **_json_of(failure.shipment_id), "error": failure.error})

    def end(self, totals: Totals) -> None:
        names = ("dry_run", "shipments", "readings", "changes", "alerts", "states", "failures")
        counts = {name: getattr(totals, name) for name in names}
        self._print({"type": "totals", **counts, "seconds": round(totals.seconds, 3)})

    def _print(self, item: dict[str, Any]) -> None:
        typer.echo(orjson.dumps(item))


def _json_of(key: str) -> dict[str, str | None]:
    return {"shipment_id": id_of(key), "organization": organization_of(key)}


def _state_json(state: LoggerState | None) -> dict[str, Any] | None:
    return None if state is None else {"readings": state.readings, "through": instant_text(state.seen)}


class _Lines:
    """Prints a table at the end if at a terminal; elsewhere, plain lines as results come."""

    def __init__(self, *, dry_run: bool) -> None:
        self._console = Console(highlight=False, markup=False)
        self._heading = "What would change" if dry_run else "What was changed"
        self._rows: list[Row] = []
        self._left_out = 0

    def take(self, rebuilt: Rebuilt) -> None:
        for row in _rows(rebuilt):
            if not self._console.is_terminal:
                typer.echo("  ".join(row))
            elif len(self._rows) < _ROWS_SHOWN:
                self._rows.append(row)
            else:
                self._left_out += 1

    def end(self, totals: Totals) -> None:
        if self._rows:
            table = Table(box=SIMPLE_HEAD, header_style="dim", title=self._heading, title_justify="left")
            for heading in _HEADINGS:
                table.add_column(heading, overflow="fold")
            for row in self._rows:
                table.add_row(*row)
            self._console.print(table)
        if self._left_out:
            typer.echo(f"and {self._left_out} more: redirect the output to see them all")
        typer.echo(totals.line())


def _rows(rebuilt: Rebuilt) -> Iterator[Row]:
    yield from map(_change_row, rebuilt.changes)
    yield from map(_state_row, rebuilt.states)
    yield from map(_failure_row, rebuilt.failures)


def _change_row(one: RecordChange) -> Row:
    change = one.change
    return (
        shown(one.shipment_id),
        one.device_id,
        change.kind,
        change.reason,
        _from_to(_excursion_parts(change.before), _excursion_parts(change.after), always="start"),
    )


def _state_row(one: StateChange) -> Row:
    before, after = _state_parts(one.before), _state_parts(one.after)
    told = _from_to(before, after) or "other values"
    return shown(one.shipment_id), one.device_id, "state", "rebuilt", told


def _failure_row(one: Failure) -> Row:
    return shown(one.shipment_id), "-", "failed", "-", one.error


def _excursion_parts(excursion: Excursion | None) -> dict[str, str]:
    if excursion is None:
        return {}
    run = excursion.run
    return {
        "state": excursion.state,
        "start": _time(run.start),
        "end": _time(run.end),
        "peak": wording.temperature(run.peak_c),
        "severity": run.severity,
    }


def _state_parts(state: LoggerState | None) -> dict[str, str]:
    return {} if state is None else {"readings": str(state.readings), "through": _time(state.seen)}


def _from_to(before: dict[str, str], after: dict[str, str], always: str = "") -> str:
    """Return the differences as `name from → to`; new fields and the field `always` as `name value`."""
    return ", ".join(
        f"{name} {value}" if before.get(name, value) == value else f"{name} {before[name]} → {value}"
        for name, value in after.items()
        if name == always or before.get(name) != value
    )


def _time(at: Instant | None) -> str:
    return "none" if at is None else f"{to_datetime(at):%Y-%m-%d %H:%M:%S}Z"
