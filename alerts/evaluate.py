"""The evaluation loop: claim due shipments, load, fold and judge them, save; over and over, beside any number of its like."""

import asyncio
import traceback
from collections.abc import Sequence
from time import perf_counter
from uuid import uuid4

import asyncpg
import structlog

from alerts import metrics
from alerts.due import Batch, Connection, claim
from alerts.judge import DueShipment, Verdict, judge
from alerts.model import ChangeKind, to_datetime
from alerts.record import WRITE_DEADLINES, save
from alerts.wakeup import Wakeup, outlast

log = structlog.get_logger(__name__)

EVALUATE_CHANNEL = "dewarwatch_evaluate"
POLL_S = 1.0
LEAST_WAIT_S = 0.02
"""What is overdue and cannot be claimed is in another evaluator's hands: looking again at once only costs."""
BATCH = 200
_LONGEST_BACKOFF_S = 600.0

SET_ASIDE = """
UPDATE evaluations AS e SET evaluate_at = now() + least(power(2, least(e.failures, 30)), $3) * interval '1 second',
    failures = e.failures + 1, error = f.error
FROM unnest($1::text[], $2::text[]) AS f(shipment_id, error) WHERE e.shipment_id = f.shipment_id
"""

FORGET_STATES = "DELETE FROM evaluation_states WHERE shipment_id = ANY($1::text[])"

NEXT_DEADLINE = "SELECT extract(epoch FROM min(evaluate_at) - clock_timestamp()) FROM evaluations"


async def run_evaluate(pool: asyncpg.Pool, stop: asyncio.Event) -> None:
    """Evaluate whatever becomes due until `stop` is set; outlasts a database that is away."""
    limit = BATCH

    async def evaluate_some() -> int:
        """Evaluate fewer at once where a batch took longer than a statement may: it would the next time, too."""
        nonlocal limit
        try:
            found = await evaluate_due(pool, limit)
        except (TimeoutError, asyncpg.QueryCanceledError):
            limit = max(limit // 2, 1)
            raise
        limit = min(limit + 1, BATCH)
        return found

    async with Wakeup(pool, EVALUATE_CHANNEL) as wakeup:
        while not stop.is_set():
            wakeup.clear()
            found = await outlast(evaluate_some, stop, "evaluate")
            if not found:
                await wakeup.wait(await outlast(lambda: _patience(pool), stop, "evaluate") or POLL_S, stop)


async def evaluate_due(pool: asyncpg.Pool, limit: int = BATCH) -> int:
    """Evaluate up to `limit` due shipments in one transaction; give how many there were."""
    started = perf_counter()
    async with pool.acquire() as connection, connection.transaction():
        batch = await claim(connection, limit)
        if batch is None:
            return 0
        verdicts, failures = _judge_each(batch)
        await save(connection, verdicts, batch.now)
        await _set_deadlines(connection, batch, verdicts)
        await _set_aside(connection, failures)
    _count(batch, verdicts, failures)
    metrics.CYCLE_SECONDS.observe(perf_counter() - started)
    return len(batch.shipments)


def _judge_each(batch: Batch) -> tuple[list[Verdict], list[tuple[DueShipment, str]]]:
    """Judge every shipment; one whose judgement raises is set aside and costs the others nothing."""
    verdicts, failures = [], []
    for shipment in batch.shipments:
        try:
            samples = batch.samples.get(shipment.shipment_id, {})
            verdicts.append(judge(shipment, samples, batch.now, lambda: str(uuid4())))
        except Exception as error:  # whatever it is, the other shipments must not wait for it
            log.exception("evaluation_failed", shipment_id=shipment.shipment_id)
            failures.append((shipment, "".join(traceback.format_exception_only(error)).strip()))
    return verdicts, failures


async def _set_deadlines(connection: Connection, batch: Batch, verdicts: Sequence[Verdict]) -> None:
    await connection.execute(
        WRITE_DEADLINES,
        [verdict.shipment.shipment_id for verdict in verdicts],
        [None if v.evaluate_at is None else to_datetime(v.evaluate_at) for v in verdicts],
        to_datetime(batch.now),
    )


async def _set_aside(connection: Connection, failures: Sequence[tuple[DueShipment, str]]) -> None:
    """Try again later, from the start: the marks are gone, and the folded state may be what is wrong."""
    if failures:
        ids = [shipment.shipment_id for shipment, _ in failures]
        await connection.execute(SET_ASIDE, ids, [error for _, error in failures], _LONGEST_BACKOFF_S)
        await connection.execute(FORGET_STATES, ids)


async def _patience(pool: asyncpg.Pool) -> float:
    """Give the seconds until the next deadline, or until the next poll where that is sooner."""
    until = await pool.fetchval(NEXT_DEADLINE)
    return POLL_S if until is None else min(max(float(until), LEAST_WAIT_S), POLL_S)


def _count(batch: Batch, verdicts: Sequence[Verdict], failures: Sequence[tuple[DueShipment, str]]) -> None:
    metrics.EVALUATED.inc(len(verdicts))
    metrics.EVALUATION_FAILED.inc(len(failures))
    for at in batch.marked_at.values():
        metrics.EVALUATION_LAG_SECONDS.observe(max(0, batch.now - at) / 1e6)
    for verdict in verdicts:
        for device in verdict.devices:
            for change in device.changes:
                metrics.EXCURSION_CHANGES.labels(kind=change.kind).inc()
                received = batch.received_at.get((verdict.shipment.shipment_id, device.device_id))
                if change.kind is ChangeKind.OPENED and received is not None:
                    metrics.DETECTION_DELAY_SECONDS.observe(max(0, batch.now - received) / 1e6)
        for step in verdict.alerts:
            alert = step.change.alert
            metrics.ALERT_CHANGES.labels(kind=alert.condition.kind, state=alert.state).inc()
