"""Sends due deliveries, many at a time, so that a slow or dead endpoint delays only itself."""

import asyncio
import random
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from alerts import metrics
from alerts.outbound.post import TIME_LIMIT_S, Answer, Poster
from alerts.outbound.resolve import Targets
from alerts.webhooks import message, queue
from alerts.webhooks.queue import Claimed, Room, Tried
from alerts.webhooks.schedule import SCHEDULE, TRIPS_AT, Schedule, hold_s, retry_after_s
from alerts.work.errors import REFUSED
from alerts.work.lease_queue import Leases
from alerts.work.wakeup import Wakeup, outlast
from telemetry.channels import NotifyChannel

log = structlog.get_logger(__name__)

_ASKS_TO_WAIT = frozenset({429, 503})
_NOTE_SUCCESS_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchSettings:
    """Limits and time-outs of sending; the defaults are the documented contract, tests shorten them."""

    schedule: Schedule = SCHEDULE
    time_limit_s: float = TIME_LIMIT_S
    lease: timedelta = queue.LEASE
    poll_s: float = 0.5
    """How late an attempt may be if no notification wakes the dispatcher."""
    at_hand: int = 1024
    """Most messages that this process holds: claimed, but not yet attempted."""
    in_flight: int = 256
    """Most requests of this process at a time."""
    slow_in_flight: int = 128
    """Most of these to endpoints that are not known to be fast."""
    of_each: int = 10
    """Most requests to one fast endpoint at a time."""
    of_each_slow: int = 2
    """Most requests to one other endpoint at a time."""
    ahead: int = 40
    """Most messages for one endpoint that this process holds."""
    fast_s: float = 1.0
    """An endpoint is fast if its last answer took less time than this."""
    end_within_s: float = 3.0
    """How long requests under way may take once the process is told to stop."""


DEFAULTS: Final = DispatchSettings()


class _Endpoint:
    """What this process knows about one endpoint, and the messages waiting to be sent to it."""

    __slots__ = ("blocked", "failed", "fast", "id", "in_flight", "noted_at", "saturated", "waiting")

    def __init__(self, id_: UUID) -> None:
        self.id = id_
        self.waiting: deque[tuple[Claimed, float]] = deque()
        """Each with the loop time after which its lease might end before the attempt does."""
        self.in_flight = 0
        self.fast = False
        self.saturated = False
        """Whether it may have more due messages than there was room for."""
        self.blocked = False
        self.failed = 0
        """Failed attempts that are not recorded yet; until they are, nothing more is claimed for it."""
        self.noted_at = -_NOTE_SUCCESS_EVERY_S


class Dispatcher:
    """Claims, sends and records deliveries; call `run`."""

    def __init__(self, pool: asyncpg.Pool, targets: Targets, settings: DispatchSettings = DEFAULTS) -> None:
        self._pool = pool
        self._poster = Poster(targets, settings.time_limit_s)
        self._settings = settings
        self._room = asyncio.Event()
        self._leases: Leases[Claimed] = Leases(
            pool, queue.DELIVERIES, name="webhooks", released=self._room.set
        )
        self._endpoints: dict[UUID, _Endpoint] = {}
        self._slow_in_flight = 0
        self._blocked: dict[bool, deque[_Endpoint]] = {True: deque(), False: deque()}
        """Endpoints that wait for free requests, in turn; the fast ones (True) apart from the rest."""
        self._full = False
        self._changed: set[UUID] = set()
        """Endpoints that changed while a claim was under way: it may have seen them as they were."""
        self._tried: list[Tried] = []
        self._to_record = asyncio.Event()
        self._after = UUID(int=0)

    async def run(self, stop: asyncio.Event) -> None:
        """Send due deliveries until `stop` is set; then let requests under way end, and release the rest."""
        async with self._poster, Wakeup(self._pool, NotifyChannel.WEBHOOKS, self._hear) as wakeup:
            over, give_up = asyncio.Event(), asyncio.Event()
            recording = asyncio.create_task(self._record_until(over, give_up), name="webhooks:record")
            try:
                while not stop.is_set():
                    wakeup.clear()
                    self._room.clear()
                    await outlast(self._claim, stop, "webhooks:claim")
                    await wakeup.wait(self._settings.poll_s, self._room, stop)
                    if recording.done():
                        recording.result()  # an error of our own must not go unnoticed
            finally:
                await self._drain()
                over.set()
                self._to_record.set()
                # A database that is away now would keep us waiting for ever.
                timer = asyncio.get_running_loop().call_later(self._settings.end_within_s, give_up.set)
                await recording
                timer.cancel()

    def _hear(self, said: str | None) -> None:
        """Give back what waits for an endpoint that changed: it was claimed with a URL, secrets and a state of before."""
        if said == "":
            return
        ids = list(self._endpoints) if said is None else [UUID(said)]
        self._changed.update(ids)
        for id_ in ids:
            if (endpoint := self._endpoints.get(id_)) is not None:
                self._give_back(endpoint)

    def _give_back(self, endpoint: _Endpoint) -> None:
        self._leases.give_back([claimed for claimed, _ in endpoint.waiting])
        endpoint.waiting.clear()

    # -- claiming --------------------------------------------------------------------------------------------------

    async def _claim(self) -> None:
        """Claim as many deliveries as there is room for, and start sending them."""
        free = self._settings.at_hand - self._leases.kept - self._leases.sending
        if free <= 0:
            return
        now = asyncio.get_running_loop().time()
        sent_by = now + self._settings.lease.total_seconds() - 2 * self._settings.time_limit_s
        touched: dict[UUID, _Endpoint] = {}
        self._changed.clear()
        async with self._leases.claim(partial(queue.claim, room=self._room_for(free))) as claimed:
            for one in claimed:
                if one.webhook_id in self._changed:
                    continue  # released at the end of the block, and claimed again as it is now
                endpoint = self._endpoints.get(one.webhook_id)
                if endpoint is None:
                    endpoint = self._endpoints[one.webhook_id] = _Endpoint(one.webhook_id)
                touched[one.webhook_id] = endpoint
                self._leases.keep(one)
                endpoint.waiting.append((one, sent_by))
                full = self._held(endpoint) >= self._room_of(endpoint)
                endpoint.saturated = full or one.failures >= TRIPS_AT
        self._full = len(claimed) >= free
        self._after = max(touched) if self._full else UUID(int=0)
        for endpoint in touched.values():
            self._start(endpoint)

    def _room_for(self, free: int) -> Room:
        slow_is_full = self._slow_in_flight >= self._settings.slow_in_flight
        held = {}
        for id_, endpoint in self._endpoints.items():
            if endpoint.failed or (slow_is_full and not endpoint.fast):
                held[id_] = self._settings.ahead
            elif of_it := self._held(endpoint):
                held[id_] = of_it + self._settings.ahead - self._room_of(endpoint)
        return Room(
            held=held,
            of_each=self._settings.ahead,
            at_most=free,
            after=self._after,
            trips_at=TRIPS_AT,
            lease=self._settings.lease,
        )

    def _held(self, endpoint: _Endpoint) -> int:
        return self._leases.held[endpoint.id]

    def _room_of(self, endpoint: _Endpoint) -> int:
        return self._settings.ahead if endpoint.fast else self._settings.of_each

    # -- sending ---------------------------------------------------------------------------------------------------

    def _start(self, endpoint: _Endpoint) -> None:
        """Send an endpoint's waiting messages, within its own limit and that of the process.

        None after a failure that is not recorded yet: what the endpoint asked for holds for all that waits.
        """
        if endpoint.failed:
            return
        of_each = self._settings.of_each if endpoint.fast else self._settings.of_each_slow
        while endpoint.waiting and endpoint.in_flight < of_each:
            if not self._may(fast=endpoint.fast):
                if not endpoint.blocked:
                    endpoint.blocked = True
                    self._blocked[endpoint.fast].append(endpoint)
                return
            claimed, sent_by = endpoint.waiting.popleft()
            if asyncio.get_running_loop().time() < sent_by:
                self._launch(endpoint, claimed)
            else:
                self._leases.give_back([claimed])

    def _may(self, *, fast: bool) -> bool:
        return self._leases.sending < self._settings.in_flight and (
            fast or self._slow_in_flight < self._settings.slow_in_flight
        )

    def _launch(self, endpoint: _Endpoint, claimed: Claimed) -> None:
        slow = not endpoint.fast
        endpoint.in_flight += 1
        self._slow_in_flight += slow
        self._leases.send(claimed, self._send(endpoint, claimed), partial(self._sent, endpoint, slow))

    def _sent(self, endpoint: _Endpoint, slow: bool, task: asyncio.Task[None]) -> None:  # noqa: FBT001 - a callback
        endpoint.in_flight -= 1
        self._slow_in_flight -= slow
        if task.cancelled():
            return
        self._start(endpoint)
        for fast, blocked in self._blocked.items():
            while blocked and self._may(fast=fast):
                next_ = blocked.popleft()
                next_.blocked = False
                self._start(next_)
        held = self._leases.kept + self._leases.sending
        if (self._full and held <= self._settings.at_hand // 2) or (
            endpoint.saturated and self._held(endpoint) <= self._room_of(endpoint) // 2
        ):
            endpoint.saturated = self._full = False
            self._room.set()

    async def _send(self, endpoint: _Endpoint, claimed: Claimed) -> None:
        started_at = datetime.now(UTC)
        if claimed.tries == 0:
            metrics.WEBHOOK_FIRST_ATTEMPT_SECONDS.observe((started_at - claimed.created_at).total_seconds())
        try:
            headers = message.headers(claimed.event_id, claimed.body, claimed.secrets, started_at)
            answer = await self._poster.post(
                claimed.url, claimed.body.encode(), headers, claimed.organization
            )
        except Exception as error:  # a fault of ours counts as a failed attempt: recorded, and tried again
            log.exception(
                "webhook_attempt_failed", webhook=str(claimed.webhook_id), event_id=claimed.event_id
            )
            answer = Answer(seconds=0.0, error=f"a fault of the sender: {type(error).__name__}")
        endpoint.fast = answer.status is not None and answer.seconds < self._settings.fast_s
        metrics.WEBHOOK_ATTEMPT_SECONDS.observe(answer.seconds)
        metrics.WEBHOOK_ATTEMPTS.labels(_outcome(answer)).inc()
        chance = random.random()  # noqa: S311 - it spreads load; nothing here is secret
        self._tried.append(judge(claimed, started_at, answer, self._settings.schedule, chance))
        endpoint.failed += not answer.ok  # counted down again when the attempt is recorded
        self._to_record.set()

    # -- recording -------------------------------------------------------------------------------------------------

    async def _record_until(self, over: asyncio.Event, give_up: asyncio.Event) -> None:
        """Record attempts in batches, until `over` is set and none is left, or until `give_up` is set."""
        while self._tried or not over.is_set():
            await self._to_record.wait()
            self._to_record.clear()
            if not (tried := self._tried):
                continue
            self._tried = []
            fenced = await self._record(tried, give_up)
            for one in tried:
                if not one.answer.ok:
                    endpoint = self._endpoints[one.claimed.webhook_id]
                    endpoint.failed -= 1
                    self._give_back(endpoint)
                    self._room.set()
            metrics.WEBHOOKS_FENCED.inc(fenced)
            metrics.WEBHOOKS_EXHAUSTED.inc(sum(one.state == "exhausted" for one in tried))

    async def _record(self, tried: list[Tried], give_up: asyncio.Event, *, plainly: bool = False) -> int:
        """Record attempts; return how many were fenced off.

        What the database refuses of one costs the others nothing: it is recorded without its answer. If not even that is
        taken, the message is sent again when its lease ends.
        """
        record = partial(queue.record, self._pool, tried, self._noteworthy(tried))
        try:
            return await outlast(record, give_up, "webhooks:record") or 0
        except REFUSED as error:
            if len(tried) > 1:
                return sum([await self._record([one], give_up) for one in tried])
            log.exception("webhook_attempt_not_recorded", webhook=str(tried[0].claimed.webhook_id))
            return 0 if plainly else await self._record([_plain(tried[0], error)], give_up, plainly=True)

    def _noteworthy(self, tried: list[Tried]) -> list[UUID]:
        """Return the endpoints whose health has to be written; a success is noted once a minute at most."""
        now = asyncio.get_running_loop().time()
        found: dict[UUID, None] = {}
        for one in tried:
            endpoint = self._endpoints[one.claimed.webhook_id]
            if not one.answer.ok or one.claimed.failures or now - endpoint.noted_at > _NOTE_SUCCESS_EVERY_S:
                found[one.claimed.webhook_id] = None
        for id_ in found:
            self._endpoints[id_].noted_at = now
        return list(found)

    async def _drain(self) -> None:
        """Wait a moment for requests under way, and release everything else."""
        for endpoint in self._endpoints.values():
            endpoint.waiting.clear()
        await self._leases.drain(self._settings.end_within_s)


def judge(claimed: Claimed, started_at: datetime, answer: Answer, schedule: Schedule, chance: float) -> Tried:
    """Decide what follows from an attempt."""
    if answer.ok:
        return Tried(claimed=claimed, started_at=started_at, answer=answer, state="delivered")
    asked_s = retry_after_s(answer.retry_after, started_at)
    delay_s = schedule.delay_s(claimed.tries + 1, chance)
    wait_s = asked_s if answer.status in _ASKS_TO_WAIT else None
    own_s = hold_s(claimed.failures + 1, claimed.failing_for_s)
    return Tried(
        claimed=claimed,
        started_at=started_at,
        answer=answer,
        state="exhausted" if delay_s is None else "waiting",
        delay_s=None if delay_s is None else max(delay_s, asked_s or 0.0),
        hold_s=max(own_s, wait_s or 0.0) or None,
    )


def _plain(one: Tried, error: Exception) -> Tried:
    said = f"what was answered cannot be stored: {type(error).__name__}"
    return replace(one, answer=replace(one.answer, error=said, content=b""))


def _outcome(answer: Answer) -> str:
    if answer.status is None:
        return "refused" if (answer.error or "").startswith("refused") else "no_answer"
    return "delivered" if answer.ok else f"{answer.status // 100}xx"
