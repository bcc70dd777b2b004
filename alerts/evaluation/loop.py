"""The evaluation loops: claim due shipments, load, fold and judge them, save; over and over, beside any number of its like."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from math import inf
from time import perf_counter

import asyncpg
import structlog

from alerts import metrics
from alerts.evaluation.claim import Batch, Poisoned, Share, claim, claim_these, oldest
from alerts.evaluation.fleet_outage import hear_fleet, watch_fleet
from alerts.evaluation.judge_batch import Judging, judge_here, new_id, told
from alerts.evaluation.judgement import Identity, Verdict, set_aside
from alerts.evaluation.outage import USUAL, Outage
from alerts.evaluation.save import save, write_deadlines
from alerts.evaluation.worker_process import Apart
from alerts.model import ChangeKind
from alerts.triage.store import lock_unchanged
from alerts.work.bulk import Connection
from alerts.work.pacing import Pace
from alerts.work.wakeup import Wakeup, first_of, outlast
from telemetry.channels import NotifyChannel
from telemetry.slices import can_wait

log = structlog.get_logger(__name__)

POLL_S = 1.0
LEAST_WAIT_S = 0.02
"""What is overdue and cannot be claimed is in another evaluator's hands: looking again at once only costs."""
BATCH = 200
LEAST_BATCH = 100
CYCLE_S = 0.2
"""How long a cycle may take. What comes meanwhile waits for its end, but to take less at once where there is much to do
costs more for each shipment, and then all of them wait for longer."""
LEAST_BESIDE_LIVE, BESIDE_LIVE_S = 8, 0.1
"""The same for shipments with readings of the past while there are live ones, which share processor and database."""
REST = 2.0
"""So many times as long as such a cycle took is the pause after it."""
LATE_WAIT_S = 1.0
"""And so long a shipment waits for what else its loggers hand in of the past: once is less work than many times."""
LOOK_PAST_EVERY_S = 0.1
"""How often it is looked for late marks beside live ones, which wake both loops."""
ALONE_AFTER_S = 1.0
APART_AFTER_S = 5.0
"""When the process begins that judges what can wait, unless it is needed before; who runs for a moment is spared it."""
_LONGEST_BACKOFF_S = 600.0

# What a statement refuses because of the values in it: the same again would fail again.
_REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)

SET_ASIDE = """
WITH taken AS (DELETE FROM evaluation_marks WHERE id = ANY($4::bigint[]))
UPDATE evaluations AS e SET evaluate_at = now() + least(power(2, least(e.failures, 30)), $3) * interval '1 second',
    failures = e.failures + 1, error = f.error
FROM unnest($1::text[], $2::text[]) AS f(shipment_id, error) WHERE e.shipment_id = f.shipment_id
"""

# What is no state of any version is folded from the start.
FORGET_STATES = "UPDATE evaluation_states SET state = '{}' WHERE shipment_id = ANY($1::text[])"

NEXT_DEADLINE = "SELECT extract(epoch FROM min(evaluate_at) - clock_timestamp()) FROM evaluations"


async def run_evaluate(pool: asyncpg.Pool, stop: asyncio.Event, outage: Outage = USUAL) -> None:
    """Evaluate whatever becomes due until `stop` is set; outlasts a database that is away.

    In two loops beside each other, so that what happens now never waits for what happened hours ago, which is judged in
    a process of its own; a third one sees whether the fleet as a whole is heard.
    """
    live, past = (Pace(limit=BATCH, least=LEAST_BATCH, most=BATCH) for _ in range(2))
    past_beside_live = Pace(limit=LEAST_BESIDE_LIVE, least=LEAST_BESIDE_LIVE, most=BATCH)
    alone_at = -inf

    async def live_data() -> int:
        nonlocal alone_at
        found = await live.cycle(lambda limit: evaluate_due(pool, limit, Share.LIVE), CYCLE_S)
        if found:
            alone_at = perf_counter() + ALONE_AFTER_S
        return found

    async def past_data() -> int:
        can_wait.set(True)
        if perf_counter() > alone_at:
            return await past.cycle(
                lambda limit: evaluate_due(pool, limit, Share.PAST, judging=apart.judge), CYCLE_S
            )
        began = perf_counter()
        found = await past_beside_live.cycle(
            lambda limit: evaluate_due(pool, limit, Share.PAST, LATE_WAIT_S, judging=apart.judge),
            BESIDE_LIVE_S,
        )
        await first_of(stop, patience_s=REST * (perf_counter() - began) if found else LOOK_PAST_EVERY_S)
        return found

    async def begin_apart() -> None:
        await first_of(stop, patience_s=APART_AFTER_S)
        if not stop.is_set():
            await apart.begin()

    # First of all: what is due after an outage must not be told of one by one.
    await outlast(lambda: hear_fleet(pool, outage), stop, "fleet")
    async with Apart() as apart, asyncio.TaskGroup() as group:
        group.create_task(watch_fleet(pool, stop, outage), name="evaluate:fleet")
        group.create_task(begin_apart(), name="evaluate:apart")
        group.create_task(_evaluate_all(pool, live_data, stop), name="evaluate:live")
        group.create_task(_evaluate_all(pool, past_data, stop), name="evaluate:past")


async def _evaluate_all(
    pool: asyncpg.Pool, evaluate_some: Callable[[], Awaitable[int]], stop: asyncio.Event
) -> None:
    async with Wakeup(pool, NotifyChannel.EVALUATION) as wakeup:
        while not stop.is_set():
            wakeup.clear()
            found = await outlast(evaluate_some, stop, "evaluate")
            if not found:
                await wakeup.wait(await outlast(lambda: _patience(pool), stop, "evaluate") or POLL_S, stop)


async def evaluate_due(
    pool: asyncpg.Pool,
    limit: int = BATCH,
    share: Share = Share.ALL,
    late_wait_s: float = 0,
    judging: Judging = judge_here,
) -> int:
    """Evaluate about `limit` due shipments in one transaction; give how many there were.

    Those with readings of the past only once they have waited for `late_wait_s` seconds.
    """
    claiming = partial(claim, limit=limit, share=share, late_wait_s=late_wait_s)
    try:
        return await _evaluate_claimed(pool, claiming, judging, careful=False)
    except _REFUSED:  # once more, to find out in which shipment
        return await _evaluate_claimed(pool, claiming, judging, careful=True)


async def _evaluate_claimed(
    pool: asyncpg.Pool,
    claiming: Callable[[Connection], Awaitable[Batch | None]],
    judging: Judging,
    *,
    careful: bool,
) -> int:
    started = perf_counter()
    async with pool.acquire() as connection, connection.transaction():
        batch = await claiming(connection)
        if batch is None:
            return 0
        verdicts, poisoned = await _evaluate(connection, batch, judging, careful=careful)
    _count(batch, verdicts, poisoned)
    metrics.CYCLE_SECONDS.observe(perf_counter() - started)
    return len(batch.shipments) + len(batch.poisoned)


async def evaluate_again(
    connection: Connection, shipment_ids: Sequence[str]
) -> tuple[list[Verdict], list[Poisoned]]:
    """Evaluate certain shipments from the start, in the transaction of the caller; give what became of them."""
    batch = await claim_these(connection, shipment_ids)
    return ([], []) if batch is None else await _evaluate(connection, batch)


async def judge_batch(batch: Batch, judging: Judging = judge_here) -> tuple[list[Verdict], list[Poisoned]]:
    """Judge every shipment; give the verdicts, and those whose judgement failed."""
    verdicts, failures = [], list(batch.poisoned)
    judged = await judging(batch.shipments, batch.now)
    for shipment, one in zip(batch.shipments, judged, strict=True):
        shipment_id = shipment.identity.shipment_id
        for kind, failed in one.rules.items():
            log.error("rule_failed", rule=kind, shipment_id=shipment_id, exception=failed.trace)
        if one.verdict is not None:
            verdicts.append(one.verdict)
        if one.failure is not None:
            log.error("evaluation_failed", shipment_id=shipment_id, exception=one.failure.trace)
            failures.append(Poisoned(identity=shipment.identity, error=one.failure.error))
    return verdicts, failures


async def _evaluate(
    connection: Connection, batch: Batch, judging: Judging = judge_here, *, careful: bool = True
) -> tuple[list[Verdict], list[Poisoned]]:
    verdicts, failures = await judge_batch(batch, judging)

    async def write(some: Sequence[Verdict]) -> None:
        await save(connection, some, batch.now)
        await write_deadlines(connection, some, _marks(batch, (v.identity for v in some)), batch.now)

    saved = await _unchanged(connection, verdicts)
    if careful:
        saved, refused = await _save(connection, saved, write)
        failures += refused
    else:
        await write(saved)
    await _set_aside(connection, failures, batch)
    return saved, failures


def _marks(batch: Batch, identities: Iterable[Identity]) -> list[int]:
    """Give the ids of the marks that told of these shipments."""
    ids = {identity.shipment_id for identity in identities}
    return [mark["id"] for mark in batch.marks if mark["shipment_id"] in ids]


async def _unchanged(connection: Connection, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Lock the alerts that are to be written; leave out shipments where one has become another meanwhile: they come again."""
    seen = {alert.id: alert for v in verdicts for alert in v.identity.alerts.values()}
    written = {
        v.identity.shipment_id: {step.change.alert.id for step in v.alerts} & seen.keys() for v in verdicts
    }
    to_write = [seen[id_] for of_shipment in written.values() for id_ in of_shipment]
    unchanged = await lock_unchanged(connection, to_write)
    return [v for v in verdicts if written[v.identity.shipment_id] <= unchanged]


async def _save(
    connection: Connection, verdicts: list[Verdict], write: Callable[[Sequence[Verdict]], Awaitable[None]]
) -> tuple[list[Verdict], list[Poisoned]]:
    """Write verdicts, all at once; where the database refuses something in them, one by one to find out in which."""
    try:
        async with connection.transaction():  # a savepoint
            await write(verdicts)
    except _REFUSED as error:
        if len(verdicts) == 1:
            log.exception("verdict_refused", shipment_id=verdicts[0].identity.shipment_id)
            return [], [Poisoned(identity=verdicts[0].identity, error=told(error))]
        parts = [await _save(connection, [verdict], write) for verdict in verdicts]
        return [v for saved, _ in parts for v in saved], [p for _, refused in parts for p in refused]
    return verdicts, []


async def _set_aside(connection: Connection, failures: Sequence[Poisoned], batch: Batch) -> None:
    """Try again later, from the start: the marks are gone, and the state may be what is wrong. Somebody is told."""
    if not failures:
        return
    ids = [one.identity.shipment_id for one in failures]
    marks = _marks(batch, (one.identity for one in failures))
    await connection.execute(SET_ASIDE, ids, [one.error for one in failures], _LONGEST_BACKOFF_S, marks)
    await connection.execute(FORGET_STATES, ids)
    verdicts = [set_aside(one.identity, one.error, batch.now, new_id) for one in failures]
    await _save(
        connection, await _unchanged(connection, verdicts), lambda some: save(connection, some, batch.now)
    )


async def _patience(pool: asyncpg.Pool) -> float:
    """Give the seconds until the next deadline, or until the next poll where that is sooner."""
    until = await pool.fetchval(NEXT_DEADLINE)
    return POLL_S if until is None else min(max(float(until), LEAST_WAIT_S), POLL_S)


def _count(batch: Batch, verdicts: Sequence[Verdict], poisoned: Sequence[Poisoned]) -> None:
    metrics.EVALUATED.inc(len(verdicts))
    metrics.EVALUATION_FAILED.inc(len(poisoned))
    metrics.READINGS_FOLDED.inc(batch.readings)
    for at in oldest(batch.marks).values():
        metrics.EVALUATION_LAG_SECONDS.observe(max(0, batch.now - at) / 1e6)
    for verdict in verdicts:
        for device in verdict.devices:
            if device.device.refolds:
                metrics.REFOLDED.inc()
            if verdict.identity.drill:
                continue  # drills are in no statistics of what happens to shipments
            for change in device.changes:
                metrics.EXCURSION_CHANGES.labels(kind=change.kind).inc()
                received = batch.received_at.get((verdict.identity.shipment_id, device.device.device_id))
                if change.kind is ChangeKind.OPENED and received is not None:
                    metrics.DETECTION_DELAY_SECONDS.observe(max(0, batch.now - received) / 1e6)
        metrics.ALERTS_HELD_BACK.inc(verdict.held_back)
        for kind in verdict.errors:
            metrics.RULE_FAILED.labels(rule=kind).inc()
        for step in () if verdict.identity.drill else verdict.alerts:
            alert = step.change.alert
            metrics.ALERT_CHANGES.labels(kind=alert.condition.kind, state=alert.state).inc()
