"""People: the cost of deciding about alerts, and the time from an alert's commit to the mail server.

The mail server is a real one, aiosmtpd, in its own process; the service sends as always, one connection per
mail. Each alert is of another shipment, and a hundred contacts are told, so that no flood becomes a digest.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import asyncpg
from aiosmtpd.smtp import SMTP, Envelope, Session

from alerts.attention.loop import BATCH, decide_due
from alerts.events.write import EventScope
from alerts.model import AlertKind, Condition, Severity, to_instant
from alerts.triage.alert import AlertStep, raise_alert
from alerts.triage.store import save_steps
from api.bootstrap import spare_collections
from bench import fleet
from bench.support.ground import Ground, eventually
from bench.support.machine import cpu_s
from bench.support.report import BenchError, Measure, Result, Verdict, percentile, progress
from bench.webhooks import Receiver, percentiles
from telemetry.channels import NotifyChannel

SHIPMENTS, CONTACTS = 1000, 100
MANY = 200
"""Scopes of the large cycle that is compared with a cycle of one scope."""
ROUNDS = 3
RATE, SECONDS = 20, 20
"""Alerts per second, each of another shipment, and for how many seconds."""
MOST_P99_S = 1.0
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*<([0-9a-f-]{36})@", re.IGNORECASE | re.MULTILINE)

_PLACES = "UPDATE shipments SET origin = 'site-' || abs(hashtext(shipment_id)) % $1"
_CONTACTS = """
INSERT INTO contacts (contact_id, name, timezone, places, channels, updated_by)
SELECT 'site-' || n, 'Site ' || n, 'Europe/Vienna', ARRAY['site-' || n],
    jsonb_build_array(jsonb_build_object('channel', 'email', 'address', n || '@site.example')), 'bench'
FROM generate_series(0, $1 - 1) AS n
"""
_POLICY = """
INSERT INTO policies (policy_id, min_severity, steps, group_wait_s, repeat_s, ack_expires_s, flood_count, flood_within_s,
    updated_by)
VALUES ('bench', 'major', '[{"after_s": 0, "to": ["origin"]}, {"after_s": 600, "to": ["last_resort"]}]', 0, 3600, 3600,
    1000000, 600, 'bench')
"""


class Mailbox:
    """The handler of aiosmtpd: accepts every mail, and notes its id and time."""

    def __init__(self, arrivals: list[tuple[str, float]]) -> None:
        self._arrivals = arrivals

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        found = _MESSAGE_ID.search(envelope.content)
        self._arrivals.append((found[1].decode() if found else "", time.monotonic()))
        return "250 2.0.0 taken"


def mailbox(arrivals: list[Any]) -> SMTP:
    """Return the protocol that answers one connection."""
    return SMTP(Mailbox(arrivals), loop=asyncio.get_running_loop(), hostname="localhost")


@dataclass(slots=True, kw_only=True)
class Costs:
    """The cost of a scope, in seconds."""

    cpu: list[float] = field(default_factory=list)
    """Of this process and of the database's backend that serves it."""
    database: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Way:
    """How long alerts took, in seconds after their commit, and what they cost the service."""

    decided: list[float]
    """Until the notification could be read by others."""
    accepted: list[float]
    """Until the mail server had the mail."""
    cpu_s: float
    """CPU time of the process per alert."""
    burst_s: float
    """Until the last of a thousand mails, for as many alerts at once."""


async def people(ground: Ground) -> Result:
    """Measure cycles by themselves, then the service with a mail server."""
    spare_collections()  # as the service does
    counts = [await _statements(ground, scopes) for scopes in (1, MANY)]
    if counts[0] != counts[1]:
        raise BenchError(f"{counts[0]} statements for one scope, {counts[1]} for {MANY}")
    costs = Costs()
    for _ in range(ROUNDS):
        await _at_once(ground, costs)
    way = await _way(ground)
    return Result(
        title=f"People: {SHIPMENTS:,} shipments with a critical alert each, {CONTACTS} contacts told by e-mail",
        measures=[
            Measure(what=f"statements of a cycle, one scope or {MANY}", unit="", runs=counts[:1]),
            Measure(what=f"{SHIPMENTS:,} scopes due at once: CPU a scope", unit="µs", runs=_micro(costs.cpu)),
            Measure(what="  of that in the database", unit="µs", runs=_micro(costs.database)),
            Measure(what="  elapsed, a scope", unit="µs", runs=_micro(costs.wall)),
            *percentiles(f"alert committed to decision committed, {RATE} alerts/s", way.decided),
            *percentiles("alert committed to mail accepted", way.accepted),
            Measure(what="CPU of the service for an alert and its mail", unit="µs", runs=_micro([way.cpu_s])),
            Measure(what=f"{SHIPMENTS:,} alerts at once: until the last mail", unit="s", runs=[way.burst_s]),
        ],
        verdicts=[
            Verdict(
                what="alert committed to mail accepted, p99, s",
                value=percentile(way.accepted, 99),
                target=MOST_P99_S,
                at_most=True,
            )
        ],
    )


def _micro(seconds: Iterable[float]) -> list[float]:
    return [one * 1e6 for one in seconds]


async def _fill(ground: Ground) -> None:
    await ground.clear(fleet.device_ids(SHIPMENTS))
    async with ground.connected() as connection:
        await connection.execute(_PLACES, CONTACTS)
        await connection.execute(_CONTACTS, CONTACTS)
        await connection.execute(_POLICY)
        await connection.execute("ANALYZE")


async def _fire(connection: asyncpg.Connection, numbers: Iterable[int]) -> list[str]:
    """Raise a critical alert on each shipment, in one transaction as an evaluation does; return their ids."""
    steps = []
    async with connection.transaction():
        now = to_instant(await connection.fetchval("SELECT clock_timestamp()"))
        for number in numbers:
            logger = f"bench-{number:05}"
            found = Condition(
                subject="excursion:bench",
                kind=AlertKind.EXCURSION,
                severity=Severity.CRITICAL,
                device_id=logger,
                message="Payload above −150 °C, peak −128.1 °C, beyond the critical −135 °C",
                since=now,
            )
            (change,) = raise_alert(str(uuid4()), f"S-{logger}", found, now)
            steps.append((EventScope(shipment_id=f"S-{logger}"), AlertStep(before=None, change=change)))
        await save_steps(connection, steps, now)
        await connection.execute(f"NOTIFY {NotifyChannel.ATTENTION}")
    return [step.change.alert.id for _, step in steps]


@asynccontextmanager
async def _alone(ground: Ground, statements: list[str]) -> AsyncIterator[asyncpg.Pool]:
    """Yield a pool of one connection, whose statements are appended to `statements`."""

    async def note(connection: asyncpg.Connection) -> None:
        connection.add_query_logger(lambda record: statements.append(record.query))

    async with asyncpg.create_pool(ground.servers.admin_url, min_size=1, max_size=1, init=note) as pool:
        yield pool


async def _statements(ground: Ground, scopes: int) -> int:
    """Return the number of statements in a cycle of `scopes` scopes."""
    progress(f"statements of a cycle of {scopes}")
    await _fill(ground)
    statements: list[str] = []
    async with _alone(ground, statements) as pool:
        async with ground.connected() as connection:
            await _fire(connection, range(scopes))
        statements.clear()
        if (found := await decide_due(pool, scopes)) != scopes:
            raise BenchError(f"{found} scopes were due, {scopes} should have been")
        return len(statements)


async def _at_once(ground: Ground, costs: Costs) -> None:
    """Decide about all shipments, due at once, in cycles as the service does."""
    progress(f"{SHIPMENTS} scopes due at once")
    await _fill(ground)
    async with _alone(ground, []) as pool:
        async with pool.acquire() as connection:
            pid = connection.get_server_pid()
            await _fire(connection, range(SHIPMENTS))
        began, ours, theirs = time.perf_counter(), time.process_time(), cpu_s(pid)
        found = 0
        while some := await decide_due(pool, BATCH):
            found += some
        ours, theirs = time.process_time() - ours, cpu_s(pid) - theirs
        costs.wall.append((time.perf_counter() - began) / SHIPMENTS)
        costs.database.append(theirs / SHIPMENTS)
        costs.cpu.append((ours + theirs) / SHIPMENTS)
        told = await pool.fetchval("SELECT count(*) FROM notifications WHERE state = 'pending'")
    if (found, told) != (SHIPMENTS, SHIPMENTS):
        raise BenchError(f"{found} scopes, {told} notifications, {SHIPMENTS} should have been of each")


async def _way(ground: Ground) -> Way:
    """Raise alerts at a steady rate, then on all shipments at once, with service and mail server running."""
    with Receiver(mailbox) as receiver:
        smtp = {"SMTP_URL": f"smtp://127.0.0.1:{receiver.port}", "MAIL_FROM": "alerts@bench.example"}
        await _fill(ground)
        async with ground.connected() as connection, ground.serving("deliver", **smtp) as service:
            await _sent(connection, receiver, await _fire(connection, [0]))
            progress(f"{RATE} alerts/s for {SECONDS} s")
            began_cpu = cpu_s(service.pid)
            committed, seen = await _steadily(ground, connection)
            accepted = await _sent(connection, receiver, committed)
            cpu = (cpu_s(service.pid) - began_cpu) / len(committed)
        await _fill(ground)
        receiver.clear()
        async with ground.connected() as connection, ground.serving("deliver", **smtp):
            progress(f"{SHIPMENTS} alerts at once")
            at_once = await _fire(connection, range(SHIPMENTS))
            began = time.monotonic()
            burst = await _sent(connection, receiver, at_once)
    return Way(
        decided=[seen[id_] - at for id_, at in committed.items()],
        accepted=[accepted[id_] - at for id_, at in committed.items()],
        cpu_s=cpu,
        burst_s=max(burst.values()) - began,
    )


async def _steadily(
    ground: Ground, connection: asyncpg.Connection
) -> tuple[dict[str, float], dict[str, float]]:
    """Raise alerts one by one; return when each was committed, and when its notification was visible."""
    committed: dict[str, float] = {}
    seen: dict[str, float] = {}
    async with _watching(ground, seen):
        began = time.monotonic() + 1.0
        for number in range(RATE * SECONDS):
            await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
            (id_,) = await _fire(connection, [1 + number])
            committed[id_] = time.monotonic()

        async def all_seen() -> bool:
            return committed.keys() <= seen.keys()

        await eventually(all_seen, "a decision of each alert")
    return committed, seen


@asynccontextmanager
async def _watching(ground: Ground, seen: dict[str, float]) -> AsyncIterator[None]:
    """Note when each notification is committed, by the NOTIFY sent with it."""
    woken = asyncio.Event()

    async def look() -> None:
        async with ground.connected() as connection:
            await connection.add_listener(NotifyChannel.NOTIFICATIONS, lambda *_: woken.set())
            latest = await connection.fetchval("SELECT clock_timestamp()")
            while True:
                await woken.wait()
                woken.clear()
                at = time.monotonic()
                rows = await connection.fetch(_NEW, latest)
                for row in rows:
                    latest = max(latest, row["decided_at"])
                    for alert_id in row["alert_ids"]:
                        seen.setdefault(str(alert_id), at)

    task = asyncio.create_task(look())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


_NEW = "SELECT decided_at, alert_ids FROM notifications WHERE decided_at > $1 AND state = 'pending'"


async def _sent(
    connection: asyncpg.Connection, receiver: Receiver, alert_ids: Sequence[str] | dict[str, float]
) -> dict[str, float]:
    """Wait until all alerts were mailed; return when the mail server had the mail of each."""
    done = "SELECT count(*) >= $1 FROM notifications WHERE state = 'sent' AND alert_ids && $2::uuid[]"
    ids = list(alert_ids)
    await eventually(lambda: connection.fetchval(done, len(ids), ids), "all mails are sent", 120.0)
    arrived = dict(receiver.arrivals())
    rows = await connection.fetch(
        "SELECT id, alert_ids FROM notifications WHERE alert_ids && $1::uuid[]", ids
    )
    return {str(alert_id): arrived[str(row["id"])] for row in rows for alert_id in row["alert_ids"]}
