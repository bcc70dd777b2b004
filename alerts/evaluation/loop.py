"""The evaluation loops: claim due shipments, load, fold and judge them, save; over and over, beside any number of its like."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from math import inf
from time import perf_counter

import asyncpg
import structlog

from alerts import metrics
from alerts.evaluation.acts import name_acts
from alerts.evaluation.claim import DueShipments, Poisoned, Share, claim, claim_these
from alerts.evaluation.fleet_outage import hear_fleet, watch_fleet
from alerts.evaluation.judge_batch import Judging, judge_here, new_id
from alerts.evaluation.judging.judgement import Verdict, set_aside
from alerts.evaluation.judging.outage import DEFAULT_THRESHOLDS, OutageThresholds
from alerts.evaluation.queue import EVALUATIONS
from alerts.evaluation.save import save, write_deadlines
from alerts.evaluation.worker_process import WorkerProcess
from alerts.model import ChangeKind
from alerts.triage.store import lock_unchanged
from alerts.work.bulk import Connection
from alerts.work.clock import ClockSteps
from alerts.work.errors import REFUSED, describe_error
from alerts.work.pacing import AdaptiveLimit
from alerts.work.savepoints import write_each
from alerts.work.wakeup import first_of, outlast
from telemetry.slices import can_wait

log = structlog.get_logger(__name__)

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
WORKER_AFTER_S = 5.0
"""When the process begins that judges what can wait, unless it is needed before; who runs for a moment is spared it."""

# What is no state of any version is folded from the start.
FORGET_STATES = "UPDATE evaluation_states SET state = '{}' WHERE shipment_id = ANY($1::text[])"


async def run_evaluate(
    pool: asyncpg.Pool, stop: asyncio.Event, outage: OutageThresholds = DEFAULT_THRESHOLDS
) -> None:
    """Evaluate whatever becomes due until `stop` is set; outlasts a database that is away.

    In two loops beside each other, so that what happens now never waits for what happened hours ago, which is judged in
    a process of its own; a third one sees whether the fleet as a whole is heard.
    """
    live, past = (AdaptiveLimit(limit=BATCH, least=LEAST_BATCH, most=BATCH) for _ in range(2))
    past_beside_live = AdaptiveLimit(limit=LEAST_BESIDE_LIVE, least=LEAST_BESIDE_LIVE, most=BATCH)
    evaluate = partial(evaluate_due, pool, steps=ClockSteps())
    alone_at = -inf

    async def live_data() -> int:
        nonlocal alone_at
        found = await live.cycle(lambda limit: evaluate(limit, Share.LIVE), CYCLE_S)
        if found:
            alone_at = perf_counter() + ALONE_AFTER_S
        return found

    async def past_data() -> int:
        can_wait.set(True)
        if perf_counter() > alone_at:
            return await past.cycle(lambda limit: evaluate(limit, Share.PAST, judging=worker.judge), CYCLE_S)
        began = perf_counter()
        found = await past_beside_live.cycle(
            lambda limit: evaluate(limit, Share.PAST, LATE_WAIT_S, judging=worker.judge),
            BESIDE_LIVE_S,
        )
        await first_of(stop, patience_s=REST * (perf_counter() - began) if found else LOOK_PAST_EVERY_S)
        return found

    async def start_worker() -> None:
        await first_of(stop, patience_s=WORKER_AFTER_S)
        if not stop.is_set():
            await worker.start()

    # First of all: what is due after an outage must not be told of one by one.
    await outlast(lambda: hear_fleet(pool, outage), stop, "fleet")
    async with WorkerProcess() as worker, asyncio.TaskGroup() as group:
        group.create_task(watch_fleet(pool, stop, outage), name="evaluate:fleet")
        group.create_task(start_worker(), name="evaluate:worker")
        for name, work in (("live", live_data), ("past", past_data)):
            loop = EVALUATIONS.run(pool, work, stop, name="evaluate")
            group.create_task(loop, name=f"evaluate:{name}")


async def evaluate_due(
    pool: asyncpg.Pool,
    limit: int = BATCH,
    share: Share = Share.ALL,
    late_wait_s: float = 0,
    judging: Judging = judge_here,
    steps: ClockSteps | None = None,
) -> int:
    """Evaluate about `limit` due shipments in one transaction; return how many there were.

    Those with readings of the past only once they have waited for `late_wait_s` seconds. `steps` is as for `claim`.
    """
    claiming = partial(claim, limit=limit, share=share, late_wait_s=late_wait_s, steps=steps)
    try:
        return await _evaluate_claimed(pool, claiming, judging, careful=False)
    except (*REFUSED, asyncpg.LockNotAvailableError):  # once more, to find out in which shipment
        return await _evaluate_claimed(pool, claiming, judging, careful=True)


async def _evaluate_claimed(
    pool: asyncpg.Pool,
    claiming: Callable[[Connection], Awaitable[DueShipments | None]],
    judging: Judging,
    *,
    careful: bool,
) -> int:
    started = perf_counter()
    async with pool.acquire() as connection, connection.transaction():
        due = await claiming(connection)
        if due is None:
            return 0
        verdicts, poisoned = await _evaluate(connection, due, judging, careful=careful)
    _count(due, verdicts, poisoned)
    metrics.CYCLE_SECONDS.observe(perf_counter() - started)
    return len(due.shipments) + len(due.poisoned)


async def evaluate_again(
    connection: Connection, shipment_ids: Sequence[str]
) -> tuple[list[Verdict], list[Poisoned]]:
    """Evaluate certain shipments from the start, in the transaction of the caller; return what became of them."""
    due = await claim_these(connection, shipment_ids)
    return ([], []) if due is None else await _evaluate(connection, due)


async def judge_batch(
    due: DueShipments, judging: Judging = judge_here
) -> tuple[list[Verdict], list[Poisoned]]:
    """Judge every shipment; return the verdicts, and those whose judgement failed."""
    verdicts, failures = [], list(due.poisoned)
    judged = await judging(due.shipments, due.now)
    for shipment, one in zip(due.shipments, judged, strict=True):
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
    connection: Connection, due: DueShipments, judging: Judging = judge_here, *, careful: bool = True
) -> tuple[list[Verdict], list[Poisoned]]:
    verdicts, failures = await judge_batch(due, judging)
    identities = {one.identity.shipment_id: one.identity for one in verdicts}
    verdicts, errors = await name_acts(connection, verdicts, due.now)
    for shipment_id, error in errors.items():
        log.error("evaluation_failed", shipment_id=shipment_id, exc_info=error)
        failures.append(Poisoned(identity=identities[shipment_id], error=describe_error(error)))

    saved: list[Verdict] = []

    async def write(some: Sequence[Verdict]) -> None:
        unchanged = await _unchanged(connection, some)
        await save(connection, unchanged, due.now)
        await write_deadlines(connection, unchanged, due.claimed, due.now, due.clock)
        saved.extend(unchanged)

    if careful:
        failures += await _save(connection, verdicts, write)
    else:
        await write(verdicts)
    await _set_aside(connection, failures, due)
    return saved, [one for one in failures if not one.held]


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
    connection: Connection,
    verdicts: Sequence[Verdict],
    write: Callable[[Sequence[Verdict]], Awaitable[None]],
) -> list[Poisoned]:
    """Write verdicts; return those in which the database refused something, or that others hold for too long."""
    _, refused = await write_each(connection, verdicts, write)
    for verdict, error in refused:
        log.error("verdict_refused", shipment_id=verdict.identity.shipment_id, exc_info=error)
    return [
        Poisoned(
            identity=one.identity,
            error=describe_error(error),
            held=isinstance(error, asyncpg.LockNotAvailableError),
        )
        for one, error in refused
    ]


async def _set_aside(connection: Connection, failures: Sequence[Poisoned], due: DueShipments) -> None:
    """Try again later, from the start: the marks are gone, and the state may be what is wrong.

    Somebody is told, unless another process only holds something of it.
    """
    if not failures:
        return
    errors = {one.identity.shipment_id: one.error for one in failures}
    held = {one.identity.shipment_id for one in failures if one.held}
    await EVALUATIONS.set_aside(connection, due.claimed, errors, held)
    await connection.execute(FORGET_STATES, list(errors))
    verdicts = [set_aside(one.identity, one.error, due.now, new_id) for one in failures if not one.held]

    async def write(some: Sequence[Verdict]) -> None:
        await save(connection, await _unchanged(connection, some), due.now)

    await _save(connection, verdicts, write)


def _count(due: DueShipments, verdicts: Sequence[Verdict], poisoned: Sequence[Poisoned]) -> None:
    metrics.EVALUATED.inc(len(verdicts))
    metrics.EVALUATION_FAILED.inc(len(poisoned))
    metrics.READINGS_FOLDED.inc(due.readings)
    for at in due.claimed.oldest_marks().values():
        metrics.EVALUATION_LAG_SECONDS.observe(max(0, due.now - at) / 1e6)
    for verdict in verdicts:
        for device in verdict.devices:
            if device.device.refolds:
                metrics.REFOLDED.inc()
            if verdict.identity.drill:
                continue  # drills are in no statistics of what happens to shipments
            for change in device.changes:
                metrics.EXCURSION_CHANGES.labels(kind=change.kind).inc()
                received = due.received_at.get((verdict.identity.shipment_id, device.device.device_id))
                if change.kind is ChangeKind.OPENED and received is not None:
                    metrics.DETECTION_DELAY_SECONDS.observe(max(0, due.now - received) / 1e6)
        metrics.ALERTS_HELD_BACK.inc(verdict.held_back)
        for kind in verdict.errors:
            metrics.RULE_FAILED.labels(rule=kind).inc()
        for step in () if verdict.identity.drill else verdict.alerts:
            alert = step.change.alert
            metrics.ALERT_CHANGES.labels(kind=alert.condition.kind, state=alert.state).inc()
