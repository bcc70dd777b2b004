"""The composition root: builds and runs the roles from the settings, in one straight line."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from alerts.attention.loop import run_attention
from alerts.attention.queue import ATTENTION
from alerts.evaluation.judging.outage import OutageThresholds
from alerts.evaluation.loop import run_evaluate
from alerts.evaluation.queue import EVALUATIONS
from alerts.events.retention import run_deliver
from alerts.faults.fault import Part
from alerts.faults.report import Reporter
from alerts.faults.watch import watch_faults
from alerts.notifications.loop import run_notifications
from alerts.notifications.queue import NOTIFICATIONS
from alerts.notifications.sender import Channels
from alerts.outbound.resolve import Targets
from alerts.webhooks.loop import run_webhooks
from alerts.webhooks.queue import DELIVERIES
from alerts.webhooks.upkeep import mend_holds
from alerts.work.clock import Mend, watch_clock
from alerts.work.wakeup import unless
from api import notification_channels
from api.continuity import run_continuity
from api.database import check_database
from api.descriptors import Descriptors, raise_limit
from api.embedded import Servers
from api.errors import StoppedError
from api.faults import AccountsWatch, Faults
from api.http.app import create_app
from api.http.connections.limits import Limits
from api.http.connections.server import Web, bind
from api.http.event_hub import EventHub
from api.http.rates import Gate
from api.http.services import Probe, Services
from api.identity.authenticator import Authenticator
from api.identity.device_credentials import (
    DeviceCredentials,
    NatsDeviceCredentials,
    device_credentials,
)
from api.pages.site import with_pages
from api.rates.wrong_keys import WrongKeys
from api.retention import run_retention
from api.roles import Role
from api.settings import Settings, required
from api.use_cases.backdating import Backdating
from telemetry.continuity.pulse import Memory
from telemetry.database.clocks import Clocks
from telemetry.database.connections import engine_for, make_pool
from telemetry.database.server import DatabaseServer
from telemetry.ingest.evidence import EvidenceLimits
from telemetry.ingest.pipeline import Ingest
from telemetry.mqtt.bridge import run_ingest

log = structlog.get_logger(__name__)

_PATIENCE_S = 10.0  # for a connection of the pool; after that, an HTTP caller is told to try again
_CLOSE_WITHIN_S = 5.0
QUEUES: Mapping[str, Mend] = {
    "evaluation": EVALUATIONS.mend_clock,
    "attention": ATTENTION.mend_clock,
    "notifications": NOTIFICATIONS.mend_clock,
    "webhooks": DELIVERIES.mend_clock,
    "webhook_holds": mend_holds,
}
"""What sets deadlines by the database's clock."""
JUDGED: Mapping[str, Mend] = {"evaluation": EVALUATIONS.mend_all, "attention": ATTENTION.mend_all}
"""What was judged by it, with a deadline or without."""
# Connections that only listen: evaluate (two), attention, stream (two), webhooks (two), notifications, one spare.
_LISTENERS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A running service: its URL, its database server, and a pool of connections."""

    url: str
    server: DatabaseServer
    pool: asyncpg.Pool


@asynccontextmanager
async def running(
    settings: Settings,
    roles: frozenset[Role],
    *,
    interrupted: asyncio.Event,
    embedded: Servers | None = None,
) -> AsyncIterator[Running]:
    """Run the roles for as long as the block lasts, then stop them in order without losing anything.

    Raises SettingsError or StartError, each with one line, if they cannot start, and StoppedError if
    `interrupted` is set before the database answers. A role that dies ends the block with its exception.
    """
    database_url = required(
        settings.database_url, "DATABASE_URL", "postgresql://user:password@host:5432/database"
    )
    mqtt_url = _mqtt_url(settings, roles)
    async with AsyncExitStack() as until_the_end:
        server = await unless(interrupted, check_database(database_url, patience_s=settings.start_patience_s))
        if server is None:
            raise StoppedError
        log.info("database", server=str(server))
        descriptors = Descriptors(most=raise_limit())
        listener = until_the_end.enter_context(bind(settings.http_host, settings.http_port))
        pool, engine = await _connections(database_url, settings.database_pool, until_the_end)
        hub = EventHub(
            pool,
            per_key=settings.streams_per_key,
            quotas=settings.quotas,
            courier_key_lasts=timedelta(days=settings.courier_key_days),
        )
        targets = _targets(settings)
        channels = notification_channels.make_channels(settings, targets)
        tasks: dict[str, asyncio.Task[None]] = {}
        credentials = _credentials(settings, mqtt_url, embedded)
        faults = Faults(Clocks(), AccountsWatch(credentials))
        services = Services(
            engine=engine,
            ingest=Ingest(pool, _evidence_limits(settings), faults.clocks),
            authenticator=_authenticator(settings, engine),
            gate=_gate(settings, descriptors),
            backdating=Backdating(courier=timedelta(minutes=settings.courier_backdate_min)),
            courier_key_lasts=timedelta(days=settings.courier_key_days),
            hub=hub,
            webhook_targets=targets,
            device_credentials=credentials,
            mqtt_public_url=settings.mqtt_public_url or _without_account(mqtt_url),
            late_readings=timedelta(days=settings.late_readings_days),
            limits=_limits(settings, descriptors),
            operator_networks=settings.operator_networks,
            probes=_probes(roles, descriptors, faults, channels),
            alive=lambda: {name: not task.done() for name, task in tasks.items()},
            clock=_clock,
        )
        web = Web(with_pages(create_app(services, serves=roles)), listener, services.limits)
        stop = asyncio.Event()
        memory = Memory()
        work: dict[str, Coroutine[Any, Any, None]] = {
            "web": web.run_until_stopped(),
            "continuity": run_continuity(pool, memory, stop, faults.commits.hear),
            "descriptors": descriptors.look_after(stop),
            "clocks": faults.clocks.watch(pool, stop),
            "faults": Reporter(pool, faults.find).run(stop),
        }
        if Role.API in roles:
            work["stream"] = hub.run(stop)
            work["security"] = services.security.run(pool, stop)
            # Last of all, when nobody can be refused any more.
            until_the_end.push_async_callback(services.security.flush, pool)
        if Role.INGEST in roles:
            assert mqtt_url is not None
            work["ingest"] = run_ingest(
                mqtt_url=mqtt_url,
                pool=pool,
                stop=stop,
                on_state=faults.hear,
                limits=_evidence_limits(settings),
                accounts=credentials,
                clocks=faults.clocks,
                memory=memory,
            )
            work["accounts"] = faults.accounts.run(pool, stop)
        if Role.EVALUATE in roles:
            work["evaluate"] = run_evaluate(pool, stop, _outage(settings))
        if roles & {Role.EVALUATE, Role.DELIVER}:
            work |= _watches(pool, stop, faults)
        if Role.DELIVER in roles:
            work |= _delivery(settings, pool, stop, targets, channels, faults.clocks)

        async with asyncio.TaskGroup() as group:
            tasks |= {name: group.create_task(loop, name=name) for name, loop in work.items()}
            spare_collections()
            log.info("started", roles=sorted(roles), url=web.url)
            try:
                yield Running(url=web.url, server=server, pool=pool)
            finally:
                log.info("stopping")
                stop.set()
                hub.close()
                web.should_exit = True
    log.info("stopped")


async def _connections(
    database_url: str, at_once: int, until_the_end: AsyncExitStack
) -> tuple[asyncpg.Pool, AsyncEngine]:
    """Open what the loops and what the calls of HTTP take their connections from."""
    pool = await make_pool(database_url, "dewarwatch", max_size=at_once + _LISTENERS)
    until_the_end.push_async_callback(_close, pool)
    engine = engine_for(
        database_url, "dewarwatch-api", pool_size=at_once, pool_timeout=_PATIENCE_S, pool_pre_ping=True
    )
    until_the_end.push_async_callback(engine.dispose)
    return pool, engine


def _authenticator(settings: Settings, engine: AsyncEngine) -> Authenticator:
    return Authenticator(
        engine,
        admin_key=None if settings.admin_key is None else settings.admin_key.get_secret_value(),
        clock=_clock,
        courier_key_lasts=timedelta(days=settings.courier_key_days),
        wrong_keys=WrongKeys(settings.rates.wrong_keys_of_address),
    )


def _probes(
    roles: frozenset[Role], descriptors: Descriptors, faults: Faults, channels: Channels
) -> dict[str, Callable[[], Awaitable[Probe]]]:
    """Return what `/readyz` asks, by name, beside the database: what this process needs for its roles."""
    probes: dict[str, Callable[[], Awaitable[Probe]]] = {
        "descriptors": partial(_descriptors_probe, descriptors),
        "clock": faults.probe_clock,
        "commits": partial(faults.probe_commits, answers=Role.API in roles),
    }
    if Role.INGEST in roles:
        probes |= {"ingest": faults.probe_ingest, "accounts": faults.probe_accounts}
    if Role.DELIVER in roles:
        probes["notices"] = partial(notification_channels.probe, channels)
    if roles & {Role.EVALUATE, Role.DELIVER}:
        for part in (Part.JUDGING, Part.TELLING, Part.MAIL):
            probes[part] = partial(faults.probe_waiting, part, answers=Role.API in roles)
    return probes


def spare_collections() -> None:
    """Keep permanent objects out of garbage collection, and collect less often.

    A full collection takes 0.1 s, in which nothing else runs. The objects of a batch of readings are freed
    before the collector would look at them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


async def _close(pool: asyncpg.Pool) -> None:
    """Close the pool; terminate connections that are not returned within 5 s."""
    try:
        async with asyncio.timeout(_CLOSE_WITHIN_S):
            await pool.close()
    except TimeoutError:
        pool.terminate()


def _clock() -> datetime:
    return datetime.now(UTC)


def _outage(settings: Settings) -> OutageThresholds:
    return OutageThresholds(
        least_loggers=settings.outage_least_loggers,
        share=settings.outage_share,
        ends_below=settings.outage_ends_below,
        grace_s=settings.outage_grace_s,
    )


def _targets(settings: Settings) -> Targets:
    allowed = settings.webhook_allow_networks
    return Targets(allowed.of_all, of_organizations=allowed.of_organizations)


def _credentials(
    settings: Settings, mqtt_url: str | None, embedded: Servers | None
) -> DeviceCredentials | NatsDeviceCredentials | None:
    """Return the manager of the broker's accounts; None in a process that knows no broker."""
    if mqtt_url is None:
        return None
    program = None if embedded is None else embedded.broker.program
    return device_credentials(mqtt_url, program, settings.broker_accounts_file)


def _gate(settings: Settings, descriptors: Descriptors) -> Gate:
    return Gate(settings.rates, settings.quotas.within(_limits(settings, descriptors).connections))


def _limits(settings: Settings, descriptors: Descriptors) -> Limits:
    wanted = Limits(
        connections=settings.http_connections,
        per_address=settings.http_connections_per_address,
        head_s=settings.http_head_s,
        body_s=settings.http_body_s,
        idle_s=settings.http_idle_s,
        answer_s=settings.http_answer_s,
        proxies=settings.http_proxies,
    )
    return wanted.within(descriptors.most)


async def _descriptors_probe(descriptors: Descriptors) -> Probe:
    """Note that they run out; the process stays ready, as taking it out of service would not give any back."""
    detail: dict[str, Any] = {"used": descriptors.used, "most": descriptors.most}
    if descriptors.near:
        detail["problem"] = (
            "few are left: raise the limit of open files, or find out who has so many connections"
        )
    return Probe(ok=True, detail=detail)


def _delivery(
    settings: Settings,
    pool: asyncpg.Pool,
    stop: asyncio.Event,
    targets: Targets,
    channels: Channels,
    clocks: Clocks,
) -> dict[str, Coroutine[Any, Any, None]]:
    """Return the loops of the role deliver, by name."""
    outbox = timedelta(days=settings.outbox_retention_days)
    return {
        "attend": run_attention(pool, stop),
        "deliver": run_deliver(pool, stop, outbox, clocks.may_remove),
        "webhooks": run_webhooks(pool, stop, targets=targets, retention=outbox, may_remove=clocks.may_remove),
        "notices": run_notifications(pool, stop, channels=channels),
        "retention": run_retention(
            pool,
            stop,
            refused=timedelta(days=settings.refused_retention_days),
            security_events=timedelta(days=settings.security_retention_days),
            may_remove=clocks.may_remove,
        ),
    }


def _watches(pool: asyncpg.Pool, stop: asyncio.Event, faults: Faults) -> dict[str, Coroutine[Any, Any, None]]:
    """Return the loops of both roles that work on queues: one of them may be what stands still."""
    return {
        "fault_alerts": watch_faults(pool, stop),
        "waiting": faults.waiting.run(pool, stop),
        "clock": watch_clock(pool, stop, QUEUES, JUDGED),
    }


def _evidence_limits(settings: Settings) -> EvidenceLimits:
    return EvidenceLimits(
        bytes_of_each=settings.refused_kept_bytes,
        per_hour=settings.refused_per_hour,
        per_day=settings.refused_per_day,
        bytes_per_hour=settings.refused_kb_per_hour * 1024,
        bytes_per_day=settings.refused_kb_per_day * 1024,
    )


def _mqtt_url(settings: Settings, roles: frozenset[Role]) -> str | None:
    """Return the broker's address; raise SettingsError if it is missing and a role needs it.

    Ingest reads from the broker; the API gives loggers their passwords there.
    """
    if not roles & {Role.INGEST, Role.API}:
        return settings.mqtt_url
    return required(settings.mqtt_url, "MQTT_URL", "mqtt://user:password@host:1883")


def _without_account(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
