"""The event stream: one reader of the outbox in each process, which passes its events on to every listener."""

import asyncio
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import asyncpg
import orjson
import structlog
from prometheus_client import Counter, Gauge

from alerts.events import outbox
from alerts.events.outbox import Event, Lost, Position
from alerts.model import Severity
from alerts.wording import rfc3339
from alerts.work.wakeup import Wakeup, outlast
from api.http.rates import share_of
from api.identity.access import Principal, Reach, reach
from api.identity.key_watch import Ended, find_ended
from api.identity.keys import COURIER_KEY_LASTS
from api.rates.policy import Quotas
from telemetry.channels import NotifyChannel
from telemetry.registry.ids import id_of

log = structlog.get_logger(__name__)

POLL_S = 1.0
_TURN_S = 0.005
HEARTBEAT_S = 15.0
KEYS_POLL_S = 0.4
"""How often the keys of open streams are looked at, if no notification comes."""
_TAKEN_WITHIN_S = 0.4
"""How long a stream whose key has ended has to take its last event; then the connection is cut."""
LISTENERS_AT_MOST = 2000
PER_KEY = 100
QUEUE = 1000
_PAGE = 500
_CHUNK = 100
"""Events written at once at most: what a slow reader has not taken of them waits in our memory."""

LISTENERS = Gauge("dewarwatch_stream_listeners", "Open event streams")
SENT = Counter("dewarwatch_stream_events_total", "Events handed to listeners")
ENDED = Counter(
    "dewarwatch_stream_ended_total",
    "Streams ended because their key was revoked, expired or changed",
    ["reason"],
)
CUT_OFF = Counter("dewarwatch_stream_cut_off_total", "Listeners that were too slow, and must resume")
RESETS = Counter(
    "dewarwatch_stream_resets_total", "Listeners that wanted to go on where nothing is kept any more"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events a listener wants and may see; an empty or absent condition leaves nothing out."""

    principal: Principal
    types: Collection[str] = ()
    shipment_ids: Collection[str] = ()
    """As people know them: of those that the caller may see, all that have one of these."""
    min_severity: Severity | None = None
    """An event without a severity comes all the same, as with webhooks."""
    kinds: Collection[str] = ()
    """Of alerts: whatever has no kind is left out."""
    organization: str | None = None
    incident_ids: Collection[str] = ()
    """Whatever is about no incident is left out."""
    peaks: bool = True
    """False: that the peak of an excursion has moved is left out."""
    reach: Reach = field(init=False, repr=False, compare=False)
    """Whose events the caller may see: found once for all of them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reach", reach(self.principal, self.principal.scope))

    def takes(self, event: Event) -> bool:
        """Return whether an event is among them."""
        return event.type in outbox.FOR_EVERYBODY or (
            (not self.types or event.type in self.types)
            and (not self.shipment_ids or id_of(event.shipment_id or "") in self.shipment_ids)
            and (self.organization is None or event.organization == self.organization)
            and (not self.kinds or event.data.get("kind") in self.kinds)
            and (self.min_severity is not Severity.CRITICAL or event.severity != Severity.MAJOR)
            and (not self.incident_ids or event.incident_id in self.incident_ids)
            and (self.peaks or not event.is_moved_peak)
            and self.reach.sees_shipment(event.shipment_id, event.organization)
        )

    def frames(self, event: Event, frame: bytes, opening: Event | None) -> list[bytes]:
        """Return what is sent for an event: with the turn of an excursion also its opening, if the severity hid that."""
        frames = [frame] if self.takes(event) else []
        if opening is None or self.min_severity is None or self.takes(opening):
            return frames
        if replace(self, min_severity=None).takes(opening):
            # Its id is an old one: who resumes goes on after the turn all the same.
            frames = [event_frame(opening), *(frames or [position_frame(event.position)])]
        return frames


def event_frame(event: Event) -> bytes:
    """Return an event as a server-sent one."""
    return _frame(event.position, event.type, orjson.dumps(event.body()))


def position_frame(position: Position) -> bytes:
    """Return a frame without an event, which says that everything up to a position was sent."""
    return b": here\nid: %s\n\n" % str(position).encode()


def _frame(position: Position, type_: str, body: bytes) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (str(position).encode(), type_.encode(), body)


_RESET_SAYS = {
    "pruned": "Events after your position are not kept any more: read the lists again. What is kept follows.",
    "unknown_position": "Your position is not of this database: read the lists again. The stream goes on from now.",
}


def reset_frame(lost: Lost, after: Position) -> bytes:
    """Return the event that says that events may be missing between `after` and what follows."""
    data = {"reason": lost.reason, "last_event_id": str(after), "message": _RESET_SAYS[lost.reason]}
    body = {"type": "stream.reset", "timestamp": lost.at, "data": data}
    return _frame(lost.go_on_after, "stream.reset", orjson.dumps(body))


_ENDED_SAYS = {
    Ended.REVOKED: "The key of this stream was revoked.",
    Ended.EXPIRED: "The key of this stream has expired.",
    Ended.CHANGED: "The rights of this stream's key have changed: open it again.",
}


def ended_frame(why: Ended, at: datetime) -> bytes:
    """Return the last event of a stream; it has no id, so that a reader goes on where it was with another key."""
    data = {"reason": why, "message": _ENDED_SAYS[why]}
    body = {"type": "stream.ended", "timestamp": rfc3339(at), "data": data}
    return b"event: stream.ended\ndata: %s\n\n" % orjson.dumps(body)


def _nothing() -> None:
    """Do nothing to the connection."""


@dataclass(slots=True, kw_only=True, eq=False)
class Listener:
    """One open stream: what it has not been sent yet, which is bounded, and whether it has ended."""

    wanted: Wanted
    after: Position
    """Events up to here it has, or does not want."""
    cut: Callable[[], None] = _nothing
    """Ends its connection at once, whatever waits to be written to it."""
    frames: deque[bytes] = field(default_factory=deque)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False

    def offer(self, event: Event, frame: bytes, opening: Event | None = None) -> None:
        """Queue an event; a listener with a thousand in its queue is cut off, and resumes where it was."""
        if self.over or event.position <= self.after:
            return
        frames = self.wanted.frames(event, frame, opening)
        if not frames:
            return
        if len(self.frames) >= QUEUE:
            CUT_OFF.inc()
            self.end()
            self.cut()
            return
        SENT.inc(len(frames))
        self.frames += frames
        self.news.set()

    def end(self) -> None:
        """End the stream: nothing more is sent."""
        self.over = True
        self.frames.clear()
        self.news.set()

    def take(self) -> bytes:
        """Return the next events, as many as are written at once."""
        return b"".join([self.frames.popleft() for _ in range(min(_CHUNK, len(self.frames)))])


@dataclass(slots=True, kw_only=True, eq=False)
class Place:
    """One open stream from when it was let in, also while it catches up."""

    principal: Principal
    cut: Callable[[], None] = _nothing
    """Ends its connection at once."""
    last: bytes | None = None
    """Its last frame, once its key has ended."""
    listener: Listener | None = None
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    def end(self, why: Ended) -> None:
        """End the stream with an event that says why; a reader that does not take it is cut off."""
        if self.last is not None:
            return
        ENDED.labels(why).inc()
        self.last = ended_frame(why, datetime.now(UTC))
        if self.listener is not None:
            self.listener.end()
        self.timers.append(asyncio.get_running_loop().call_later(_TAKEN_WITHIN_S, self.cut))


class EventHub:
    """Reads the outbox once for all listeners of this process."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        per_key: int = PER_KEY,
        quotas: Quotas | None = None,
        courier_key_lasts: timedelta = COURIER_KEY_LASTS,
    ) -> None:
        self._pool = pool
        self._courier_key_lasts = courier_key_lasts
        self._per_key = per_key
        self._quotas = quotas or Quotas()
        self._listeners: set[Listener] = set()
        self._places: set[Place] = set()
        self._open: Tally[str] = Tally()
        self._shares: Tally[str] = Tally()
        """Streams by organization; those of operators are not among them."""
        self._position: Position | None = None
        self._ready = asyncio.Event()
        self._closing = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Pass events on until `stop` is set; then all streams end. The database may go away and come back."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(stop), name="stream:events")
                group.create_task(self._watch_keys(stop), name="stream:keys")
        finally:
            self.close()

    async def _pass_on(self, stop: asyncio.Event) -> None:
        async with Wakeup(self._pool, NotifyChannel.OUTBOX) as wakeup:
            while not stop.is_set():
                wakeup.clear()
                await outlast(self._hand_on, stop, "stream")
                await wakeup.wait(POLL_S, stop)

    async def _watch_keys(self, stop: asyncio.Event) -> None:
        """End the streams whose keys have ended; while the database is away, those that expire end by the clock."""
        async with Wakeup(self._pool, NotifyChannel.KEYS) as wakeup:
            while not stop.is_set():
                wakeup.clear()
                await outlast(self._end_streams, stop, "stream:keys")
                await wakeup.wait(KEYS_POLL_S, stop)

    async def _end_streams(self) -> None:
        places = [place for place in self._places if place.last is None]
        callers = {place.principal for place in places}
        ended = await find_ended(self._pool, callers, datetime.now(UTC), self._courier_key_lasts)
        for place in places:
            if (why := ended.get(place.principal)) is not None:
                place.end(why)

    def close(self) -> None:
        """End all streams now, so that the server can stop."""
        self._closing.set()
        self._ready.set()
        for listener in self._listeners:
            listener.end()

    async def _hand_on(self) -> None:
        """Pass on the events that came since the last time."""
        async with self._pool.acquire() as connection:
            if self._position is None:
                self._position = await outbox.end(connection)
                self._ready.set()
            while True:
                events = await outbox.read_on(connection, self._position, _PAGE)
                if isinstance(events, Lost):
                    self._begin_anew(events)
                    return
                hidden = await outbox.hidden_openings(connection, events)
                began = time.monotonic()
                for event in events:
                    self._offer(event, hidden.get(event.position))
                    if time.monotonic() - began > _TURN_S:
                        await asyncio.sleep(0)  # a thousand listeners take a while: others are let in between
                        began = time.monotonic()
                if len(events) < _PAGE:
                    return

    def _begin_anew(self, lost: Lost) -> None:
        """Continue from the position of a database that has gone back, as to a standby: listeners resume, and are told."""
        log.warning("stream_begins_anew", reason=lost.reason, position=str(self._position))
        self._position = lost.go_on_after
        for listener in self._listeners:
            listener.end()

    def _offer(self, event: Event, opening: Event | None) -> None:
        self._position = event.position
        if self._listeners:
            frame = event_frame(event)  # once for all of them
            for listener in self._listeners:
                listener.offer(event, frame, opening)

    def no_place_for(self, principal: Principal) -> str | None:
        """Return why there is no room for one more stream of this caller, and what to do; None if there is room."""
        if self._open[principal.name] >= self._per_key:
            return (
                f"This key has {self._per_key} streams open at this process, which is the most: close one, "
                "share one among those who read, or use another key."
            )
        share = share_of(principal)
        if share is not None and self._shares[share] >= self._quotas.streams:
            return (
                f"Your organization has {self._quotas.streams} streams open at this process, which is the most: "
                "share one among those who read."
            )
        kept = 0 if share is None else self._quotas.streams_kept_for_operator
        if self._open.total() >= LISTENERS_AT_MOST - kept:
            return f"This process serves {LISTENERS_AT_MOST} streams, which is the most."
        return None

    @contextmanager
    def place(self, principal: Principal, cut: Callable[[], None] = _nothing) -> Iterator[Place]:
        """Count one stream of this caller for as long as the block lasts, and end it when its key ends."""
        place = Place(principal=principal, cut=cut)
        self._places.add(place)
        if principal.expires_at is not None:
            left_s = (principal.expires_at - datetime.now(UTC)).total_seconds()
            expire = asyncio.get_running_loop().call_later(max(0.0, left_s), place.end, Ended.EXPIRED)
            place.timers.append(expire)
        share = share_of(principal)
        self._open[principal.name] += 1
        if share is not None:
            self._shares[share] += 1
        LISTENERS.inc()
        try:
            yield place
        finally:
            self._places.discard(place)
            for timer in place.timers:
                timer.cancel()
            self._open[principal.name] -= 1
            LISTENERS.dec()
            if not self._open[principal.name]:
                del self._open[principal.name]
            if share is not None:
                self._shares[share] -= 1
                if not self._shares[share]:
                    del self._shares[share]

    async def listen(
        self, wanted: Wanted, after: Position | None, place: Place | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield frames as events come, from `after` on if it is given.

        A position among them says that everything up to there was sent; one comes at once, others after each
        `HEARTBEAT_S` of silence. Ends with the hub, by `place.cut` if the listener is too slow, and, after an event
        that says why, with the key.
        """
        place = place or Place(principal=wanted.principal)
        async with aclosing(self._frames(wanted, after, place)) as frames:
            async for frame in frames:
                if place.last is not None:
                    break
                yield frame
        if place.last is not None:
            yield place.last

    async def _frames(
        self, wanted: Wanted, after: Position | None, place: Place
    ) -> AsyncGenerator[bytes, None]:
        await self._ready.wait()
        reached = after
        if after is not None:
            yield position_frame(after)
            async for reached, frames in self._missed(wanted, after):  # noqa: B007 - where it ended is needed below
                yield frames
        if self._closing.is_set() or self._position is None:
            return
        begins = self._position
        listener = Listener(wanted=wanted, after=max(reached or begins, begins), cut=place.cut)
        self._listeners.add(listener)
        place.listener = listener
        if place.last is not None:
            listener.end()
        try:
            if reached is None:
                yield position_frame(begins)
            elif reached < begins:  # what came since the last page
                async for _, frames in self._missed(wanted, reached, until=begins):
                    yield frames
            while (chunk := await self._next(listener)) is not None:
                yield chunk
        finally:
            self._listeners.discard(listener)

    async def _missed(
        self, wanted: Wanted, after: Position, until: Position | None = None
    ) -> AsyncGenerator[tuple[Position, bytes], None]:
        """Yield events after a position, page by page, each with where it ends: up to `until`, or to about now.

        A reader that is slow here holds a page, and nothing of the database.
        """
        while not self._closing.is_set() and (until is None or after < until):
            page = await outlast(partial(self._page, after), self._closing, "resume")
            if page is None:
                return
            events, hidden, lost = page
            if lost is not None:
                RESETS.inc()
                frame = reset_frame(lost, after)
                after = lost.go_on_after
                yield after, frame
                continue
            frames = [
                frame
                for event in events
                if until is None or event.position <= until
                for frame in wanted.frames(event, event_frame(event), hidden.get(event.position))
            ]
            SENT.inc(len(frames))
            if events:
                after = events[-1].position
            yield after, b"".join(frames)
            if len(events) < _PAGE:
                return

    async def _page(self, after: Position) -> tuple[list[Event], Mapping[Position, Event], Lost | None]:
        async with self._pool.acquire() as connection:
            events = await outbox.read(connection, after, _PAGE)
            hidden = await outbox.hidden_openings(connection, events)
            lost = await outbox.lost(connection, after)  # after it: what is cut off meanwhile is seen
            return events, hidden, lost

    async def _next(self, listener: Listener) -> bytes | None:
        """Return the next events, or our position after a silence; None at the end."""
        if not listener.frames and not listener.over:
            listener.news.clear()
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await listener.news.wait()
            except TimeoutError:
                # What is told is handed on at once: who has nothing waiting has had everything.
                assert self._position is not None
                return position_frame(max(self._position, listener.after))
        return None if listener.over else listener.take()
