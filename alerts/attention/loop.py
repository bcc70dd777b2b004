"""The attention loop: claims scopes where something changed or is due, decides and saves.

Any number of processes may run it. No row is locked while it decides: the claim is an advisory lock. If an
alert has changed by the time it would be written, its scope is skipped and comes up again. If another process
holds something of a scope for long, this scope is set aside, and the others are decided about.
"""

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

import asyncpg
import structlog

from alerts import metrics
from alerts.attention.decide import ScopeDecision, ScopeView, decide
from alerts.attention.load_scopes import DueScopes, claim
from alerts.attention.queue import ATTENTION
from alerts.attention.save import save
from alerts.triage.store import lock_unchanged
from alerts.work.bulk import Connection
from alerts.work.errors import describe_error
from alerts.work.pacing import AdaptiveLimit
from alerts.work.savepoints import write_each
from telemetry.slices import can_wait, in_slices

log = structlog.get_logger(__name__)

BATCH: Final = 50
CYCLE_S: Final = 0.03
"""How long a cycle should take, in seconds; the number of scopes is adapted to it."""
REST_S: Final = 0.1
"""The pause after a cycle: nobody notices a delay of 0.1 s, and many scopes at once cost less."""


async def run_attention(pool: asyncpg.Pool, stop: asyncio.Event) -> None:
    """Decide about scopes as they become due until `stop` is set; retry while the database is away."""
    can_wait.set(True)
    limits = AdaptiveLimit(limit=4, least=4, most=BATCH)

    async def decide_some() -> int:
        return await limits.cycle(lambda limit: decide_due(pool, limit), CYCLE_S)

    await ATTENTION.run(pool, decide_some, stop, name="attend", rest_s=REST_S)


async def decide_due(pool: asyncpg.Pool, limit: int = BATCH) -> int:
    """Decide about at most `limit` scopes that are due, in one transaction; return how many there were."""
    async with pool.acquire() as connection, connection.transaction():
        due = await claim(connection, limit)
        if due is None:
            return 0
        saved, told = await _decide_and_save(connection, due)
    _count(due, saved)
    for state, reason in told:
        metrics.NOTIFICATIONS.labels(state=state, reason=reason).inc()
    return len(due.claimed.keys)


async def _decide_and_save(
    connection: Connection, due: DueScopes
) -> tuple[list[ScopeDecision], list[tuple[str, str]]]:
    """Decide about every scope, yielding in between, and save; a failure affects one scope only.

    Returns what was saved, and the state and the reason of each notification.
    """
    decisions: list[ScopeDecision] = []
    told: list[tuple[str, str]] = []
    saved: list[ScopeDecision] = []

    def decide_one(view: ScopeView) -> None:
        try:
            decisions.append(decide(view, due.now, _new_id))
        except Exception as error:  # whatever it is, it must not stop the other scopes
            log.exception("attention_failed", scope=view.scope)
            due.failed[view.scope] = describe_error(error)

    async def write(some: Sequence[ScopeDecision]) -> None:
        unchanged = await _unchanged(connection, some)
        if unchanged:
            told.extend(await save(connection, unchanged, due.claimed, due.now))
            saved.extend(unchanged)

    await in_slices(decide_one, due.views)
    _, refused = await write_each(connection, decisions, write)
    for one, error in refused:
        log.error("attention_refused", scope=one.view.scope, exc_info=error)
        due.failed[one.view.scope] = describe_error(error)
    if due.failed:
        held = {one.view.scope for one, error in refused if isinstance(error, asyncpg.LockNotAvailableError)}
        await ATTENTION.set_aside(connection, due.claimed, due.failed, held)
    return saved, told


async def _unchanged(connection: Connection, decisions: Sequence[ScopeDecision]) -> list[ScopeDecision]:
    """Lock the alerts to be written; return the decisions for scopes where none has changed meanwhile."""
    seen = {alert.id: alert for one in decisions for alert in one.view.alerts}
    written = {one.view.scope: _written(one) & seen.keys() for one in decisions}
    unchanged = await lock_unchanged(
        connection, [seen[id_] for of_scope in written.values() for id_ in of_scope]
    )
    return [one for one in decisions if written[one.view.scope] <= unchanged]


def _written(decision: ScopeDecision) -> set[str]:
    return {step.change.alert.id for step in decision.steps} | decision.moved.keys()


def _new_id() -> str:
    return str(uuid4())


def _count(due: DueScopes, saved: Sequence[ScopeDecision]) -> None:
    metrics.ATTENDED.inc(len(saved))
    metrics.ATTENTION_FAILED.inc(len(due.failed))
    for at in due.claimed.oldest_marks().values():
        metrics.ATTENTION_LAG_SECONDS.observe(max(0, due.now - at) / 1e6)
    for one in saved:
        for change in () if one.view.drill else one.incidents:
            metrics.INCIDENT_CHANGES.labels(reason=change.reason).inc()
