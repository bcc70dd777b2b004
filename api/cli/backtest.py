"""`dewarwatch backtest`: compares a proposed plan with today's plans on past shipments."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sqlalchemy import true
from sqlalchemy.ext.asyncio import AsyncEngine

from alerts import wording
from alerts.backtest.compare import Effect, Pair
from alerts.backtest.run import Changes, Period, backtest, shipments_in, unknown_shipments
from alerts.backtest.totals import BacktestTotals, PlanTotals
from alerts.excursions.plan import refused_change
from alerts.model import Instant, Run, to_datetime, to_instant
from alerts.triage.rows import optional_instant
from api.cli.loop import stopped_by_signals
from api.cli.progress import count, progress
from api.cli.shipments import shipments_meant, shown
from api.database import check_database
from api.errors import StartError, UnfinishedError
from api.http.schemas.backtests import BacktestOut, week_name
from api.http.schemas.fields import parse_time
from api.settings import DATABASE_HINT, Settings, SettingsError, required
from telemetry.database.connections import OF_COMMANDS, engine_for

_DIFFERENCES_SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The command line's arguments, not yet parsed."""

    plan: Path
    shipment_ids: Sequence[str]
    since: str | None
    until: str | None
    json: bool


async def run_backtest(settings: Settings, call: Call) -> None:
    """Compare the plans and print the result; raise UnfinishedError if a signal stopped it first."""
    now = datetime.now(UTC)
    changes, period = _changes(call.plan), _period(call, to_instant(now))
    url = required(settings.database_url, "DATABASE_URL", DATABASE_HINT)
    await check_database(url, patience_s=settings.start_patience_s)
    engine = engine_for(url, "dewarwatch-backtest", OF_COMMANDS)
    findings = BacktestTotals(keep_differences=_DIFFERENCES_SHOWN)
    try:
        ids = await _chosen(engine, call.shipment_ids, period)
        with stopped_by_signals() as stop, progress(len(ids), "Comparing") as advance:
            async for some in backtest(engine, ids, changes, period, to_instant(now)):
                for found in some:
                    findings.add(found)
                advance(findings.seen)
                if stop.is_set():
                    break
    finally:
        await engine.dispose()
    _stop_if_it_fits_none(call.plan, findings)
    if call.json:
        as_of = now if period.until is None else min(now, to_datetime(period.until))
        typer.echo(BacktestOut.of(findings, as_of).model_dump_json(indent=2))
    else:
        _print(findings)
    if findings.seen < len(ids):
        raise UnfinishedError(f"stopped after {findings.seen} of {len(ids)} shipments")


def _changes(file: Path) -> Changes:
    """Read the proposed plan fields; raise SettingsError with one line that names what is wrong."""
    try:
        changes = orjson.loads(file.read_bytes())
    except OSError as error:
        raise SettingsError(f"--plan {file}: cannot be read: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"--plan {file}: is not JSON: {error}") from None
    if not isinstance(changes, dict) or not changes:
        raise SettingsError(
            f'--plan {file}: must be a JSON object of plan fields, such as {{"upper_c": -155}}'
        )
    if refused := refused_change(changes):
        raise SettingsError(f"--plan {file}: {refused.field} {refused.why}")
    return changes


def _period(call: Call, now: Instant) -> Period:
    period = Period(since=_time("--since", call.since), until=_time("--until", call.until))
    if period.since is not None and period.until is not None and period.until <= period.since:
        raise SettingsError("--until must be after --since")
    if period.since is not None and period.since > now:
        raise SettingsError("--since lies in the future: there is no history to look at yet")
    return period


def _time(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return optional_instant(parse_time(text))
    except ValueError as error:
        raise SettingsError(f"{option} {text}: {error}") from None


async def _chosen(engine: AsyncEngine, named: Sequence[str], period: Period) -> list[str]:
    async with engine.connect() as connection:
        named = await shipments_meant(connection, named, option="--shipments")
        if named and (unknown := await unknown_shipments(connection, true(), named)):
            raise StartError(f"there is no shipment {', '.join(map(shown, unknown))}")
        return await shipments_in(connection, true(), period, named or None)


def _stop_if_it_fits_none(file: Path, findings: BacktestTotals) -> None:
    """Raise SettingsError if the proposal fits the plan of no shipment: then the proposal is wrong."""
    refused = [one for one in findings.unjudged if one.field is not None]
    if refused and not findings.shipments:
        first = refused[0]
        raise SettingsError(
            f"--plan {file}: {first.field} {first.why}, with the plan of {shown(first.shipment_id)}"
        )


def _print(findings: BacktestTotals) -> None:
    """Print tables at a terminal; elsewhere, plain lines with two spaces between values."""
    typer.echo(
        f"{count(findings.shipments, 'shipment')} compared over {count(findings.readings, 'reading')}; "
        f"{findings.affected} would differ"
    )
    _table("Totals", ("", "today", "proposed"), _totals(findings.today, findings.proposed))
    effects = (("excursions", findings.excursions), ("exhausted budgets", findings.exhaustions))
    _table("Changes", ("", *Effect), [_effects(what, counts) for what, counts in effects])
    weeks = [
        (week_name(monday), str(findings.today.alarms_in[monday]), str(findings.proposed.alarms_in[monday]))
        for monday in findings.weeks()
    ]
    _table("Alarms by week", ("week", "today", "proposed"), weeks)
    shipments = [
        (shown(one.shipment_id), str(one.comparison.today.alarms), str(one.comparison.proposed.alarms))
        for one in findings.worst()[:_DIFFERENCES_SHOWN]
    ]
    _table("Alarms by shipment", ("shipment", "today", "proposed"), shipments)
    _more(findings.shipments - len(shipments), "shipment")
    headings = ("shipment", "logger", "effect", "side", "today", "proposed")
    _table(
        "Excursions that differ",
        headings,
        [_difference(shown(one.shipment_id), one.pair) for one in findings.differences],
    )
    differing = sum(findings.excursions[effect] for effect in Effect if effect is not Effect.SAME)
    _more(differing - len(findings.differences), "excursion")
    for one in findings.unjudged[:_DIFFERENCES_SHOWN]:
        why = one.why if one.field is None else f"{one.field} {one.why}"
        typer.echo(f"not compared: {shown(one.shipment_id)}: {why}")
    _more(len(findings.unjudged) - _DIFFERENCES_SHOWN, "shipment")


def _totals(today: PlanTotals, proposed: PlanTotals) -> list[tuple[str, str, str]]:
    ours, theirs = today.tally, proposed.tally
    return [
        ("alarms", str(ours.alarms), str(theirs.alarms)),
        ("excursions", str(ours.excursions), str(theirs.excursions)),
        ("of them critical", str(ours.critical), str(theirs.critical)),
        ("exhausted budgets", str(ours.exhaustions), str(theirs.exhaustions)),
        ("time in excursions", wording.duration(ours.out_of_range), wording.duration(theirs.out_of_range)),
        ("longest excursion", _longest(today), _longest(proposed)),
    ]


def _longest(totals: PlanTotals) -> str:
    if totals.longest_on is None:
        return "none"
    return f"{wording.duration(totals.tally.longest)} on {shown(totals.longest_on)}"


def _effects(what: str, counts: Counter[Effect]) -> tuple[str, ...]:
    return (what, *(str(counts[effect]) for effect in Effect))


def _difference(shipment_id: str, pair: Pair) -> tuple[str, ...]:
    run = pair.today or pair.proposed
    assert run is not None
    return shipment_id, pair.device_id, pair.effect, run.side, _run(pair.today), _run(pair.proposed)


def _run(run: Run | None) -> str:
    if run is None:
        return "none"
    start, end = (None if at is None else f"{to_datetime(at):%Y-%m-%d %H:%M}Z" for at in (run.start, run.end))
    return f"{start} to {end or 'now'}, {wording.temperature(run.peak_c)}, {run.severity}"


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        typer.echo(f"{title}:")
        for row in (headings, *rows):
            typer.echo("  " + "  ".join(cell or "-" for cell in row))
        return
    table = Table(
        box=SIMPLE_HEAD, header_style="dim", title=f"\n{title}", title_style="bold", title_justify="left"
    )
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _more(number: int, what: str) -> None:
    if number > 0:
        typer.echo(f"and {number} more {what}{'' if number == 1 else 's'}")
