"""The event stream: one reader of the outbox in each process, handing its events on to everybody who listens."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass, field
from functools import partial

import asyncpg
from prometheus_client import Counter, Gauge

from alerts import outbox
from alerts.outbox import Event, Position
from alerts.record import OUTBOX_CHANNEL
from alerts.wakeup import Wakeup, outlast
from api.access import Principal, sees

POLL_S = 1.0
_SOON_S = 0.002
HEARTBEAT_S = 15.0
LISTENERS_AT_MOST = 1000
_QUEUE = 1000
_PAGE = 500

LISTENERS = Gauge("dewarwatch_stream_listeners", "Open event streams")
SENT = Counter("dewarwatch_stream_events_total", "Events handed to listeners")
CUT_OFF = Counter("dewarwatch_stream_cut_off_total", "Listeners that were too slow, and must resume")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events a listener wants, and may see."""

    principal: Principal
    types: Collection[str] = ()
    shipment_id: str | None = None

    def takes(self, event: Event) -> bool:
        """Tell whether this one is among them."""
        return (
            (not self.types or event.type in self.types)
            and (self.shipment_id is None or event.shipment_id == self.shipment_id)
            and sees(self.principal, shipment_id=event.shipment_id, organization=event.organization)
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Listener:
    """One open stream: its events in order, bounded, and whether it has come to its end."""

    wanted: Wanted
    begins: Position
    """What the hub had read when it began to listen; later events come through the queue."""
    queue: asyncio.Queue[Event] = field(default_factory=lambda: asyncio.Queue(_QUEUE))
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, event: Event) -> None:
        """Hand an event on; a listener whose queue is full is cut off, and resumes where it was."""
        if self.over.is_set() or not self.wanted.takes(event):
            return
        try:
            self.queue.put_nowait(event)
            SENT.inc()
        except asyncio.QueueFull:
            CUT_OFF.inc()
            self.over.set()


class EventHub:
    """Reads the outbox once for all listeners of this process."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._listeners: set[Listener] = set()
        self._position: Position | None = None
        self._ready = asyncio.Event()
        self._closed = False

    async def run(self, stop: asyncio.Event) -> None:
        """Hand on what is told, until `stop` is set; then all streams end. The database may go and come back."""
        try:
            async with Wakeup(self._pool, OUTBOX_CHANNEL) as wakeup:
                delay_s = _SOON_S
                while not stop.is_set():
                    wakeup.clear()
                    before = self._position
                    held_back = await outlast(self._hand_on, stop, "stream")
                    # What is committed may have to wait for an older transaction, and nobody says when that one
                    # ends: look again very soon, and the longer it takes, the less often.
                    waited = held_back and before == self._position
                    delay_s = min(delay_s * 2, POLL_S) if waited else _SOON_S
                    await wakeup.wait(delay_s if held_back else POLL_S, stop)
        finally:
            self.close()

    def close(self) -> None:
        """End all streams now, so that the server can stop."""
        self._closed = True
        self._ready.set()
        for listener in self._listeners:
            listener.over.set()

    async def _hand_on(self) -> bool:
        """Hand on what is settled, and tell whether there is more that will be soon."""
        async with self._pool.acquire() as connection:
            if self._position is None:
                self._position = await outbox.end(connection)
                self._ready.set()
            while True:
                events, held_back = await outbox.read(connection, self._position, _PAGE)
                for event in events:
                    self._position = event.position
                    for listener in self._listeners:
                        listener.offer(event)
                if len(events) < _PAGE:
                    return held_back

    async def listen(self, wanted: Wanted, after: Position | None) -> AsyncGenerator[Event | Position, None]:
        """Give events as they come, from `after` on where it is given.

        A position among them says that everything up to there was given; the first one comes at once, the others
        after each `HEARTBEAT_S` of silence. Ends where the listener is too slow, and with the hub.
        """
        await self._ready.wait()
        if self._closed or self._position is None or len(self._listeners) >= LISTENERS_AT_MOST:
            return
        listener = Listener(wanted=wanted, begins=self._position)
        self._listeners.add(listener)
        LISTENERS.inc()
        try:
            yield after or listener.begins
            if after is not None:
                async for missed in self._missed(listener, after):
                    yield missed
            while (event := await self._next(listener)) is not None:
                yield event
        finally:
            self._listeners.discard(listener)
            LISTENERS.dec()

    async def _missed(self, listener: Listener, after: Position) -> AsyncGenerator[Event, None]:
        """Give what was told between `after` and the moment at which the listener began to listen."""
        while after < listener.begins and not listener.over.is_set():
            events = await outlast(partial(self._page, after), listener.over, "resume") or []
            for event in events:
                if event.position <= listener.begins and listener.wanted.takes(event):
                    yield event
            if not events:
                return
            after = events[-1].position

    async def _page(self, after: Position) -> list[Event]:
        async with self._pool.acquire() as connection:
            events, _ = await outbox.read(connection, after, _PAGE)
            return events

    async def _next(self, listener: Listener) -> Event | Position | None:
        """Give the next event, or where we are after a silence; None at the end."""
        position = self._position
        got = asyncio.ensure_future(listener.queue.get())
        over = asyncio.ensure_future(listener.over.wait())
        try:
            await asyncio.wait((got, over), timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
            if listener.over.is_set():
                return None
            return got.result() if got.done() else position
        finally:
            got.cancel()
            over.cancel()
