"""The security events that change nothing: uses of keys and refusals, noted without waiting and written by a loop."""

import asyncio
import ipaddress
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import asyncpg
import orjson
from prometheus_client import Counter

from alerts.work.wakeup import first_of, outlast
from api.identity.access import Principal
from api.security.events import SecurityEvent, SecurityEventType
from api.security.record import current_call, say
from api.security.tally import Tally

NOTED = Counter("dewarwatch_security_events_total", "Uses of keys from new addresses, and refusals", ["type"])
NOT_RECORDED = Counter(
    "dewarwatch_security_events_not_recorded_total",
    "Security events that are only in the log, because the database was away for long",
)

WAITING_AT_MOST = 10_000
_SEEN_AT_MOST = 20_000
_SIGN_INS_AT_ONCE = 10
"""Of one key within a minute; further addresses are counted."""
_LOOK_EVERY_S = 1.0
_PAGE = 1000
_END_WITHIN_S = 3.0

# A sign-in is the first use of a key from an address: no process and no restart tells it twice.
WRITE = """
INSERT INTO security_events (at, type, actor, key_prefix, address, call, subject, status, count, last_at, details)
SELECT at, type, actor, key_prefix, address, call, subject, status, count, last_at, details
FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[],
    $9::int[], $10::timestamptz[], $11::jsonb[])
    AS e (at, type, actor, key_prefix, address, call, subject, status, count, last_at, details)
WHERE e.type <> 'sign_in' OR e.last_at IS NOT NULL OR NOT EXISTS (
    SELECT FROM security_events AS s
    WHERE s.type = 'sign_in' AND s.key_prefix = e.key_prefix AND s.address = e.address)
RETURNING type, key_prefix, address
"""


class SecurityLog:
    """Notes who comes in and who is refused; memory is bounded, and what does not fit is counted."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._waiting: deque[SecurityEvent] = deque()
        self._news = asyncio.Event()
        self._not_recorded = 0
        self._seen: dict[tuple[str, str | None], None] = {}

    def note_use(self, principal: Principal) -> None:
        """Note that a key is used; only its first use from an address is told."""
        where = current_call()
        pair = (principal.name, where.address)
        if pair in self._seen:
            return
        event = SecurityEvent(
            type=SecurityEventType.SIGN_IN,
            at=datetime.now(UTC),
            actor=str(principal.actor),
            key_prefix=principal.name,
            address=where.address,
            call=where.call,
        )
        NOTED.labels(event.type).inc()
        told = self._tally.add(event, principal.name, at_once=_SIGN_INS_AT_ONCE)
        if told is not None:
            if len(self._seen) >= _SEEN_AT_MOST:
                del self._seen[next(iter(self._seen))]
            self._seen[pair] = None
            self._put(told)

    def note_refusal(
        self,
        status: int,
        principal: Principal | None,
        key_prefix: str | None,
        *,
        is_on_record: bool = False,
        subject: str | None = None,
    ) -> None:
        """Note that the current call is refused.

        `key_prefix` is that of a key which was given and is not valid, `is_on_record` whether it once was. `subject` is
        what the call was about.
        """
        where = current_call()
        event = SecurityEvent(
            type=SecurityEventType.REFUSED,
            at=datetime.now(UTC),
            actor=None if principal is None else str(principal.actor),
            key_prefix=key_prefix if principal is None else principal.name,
            address=where.address,
            call=where.call,
            subject=subject,
            status=status,
        )
        NOTED.labels(event.type).inc()
        # Whoever has no key could make a new prefix up for each call: they are told apart by where they are. There are
        # only so many keys that were valid once.
        origin = network_of(where.address) if principal is None and not is_on_record else event.key_prefix
        if (told := self._tally.add(event, origin)) is not None:
            self._tell(told)

    def _tell(self, event: SecurityEvent) -> None:
        say(event)
        self._put(event)

    def _put(self, event: SecurityEvent) -> None:
        if len(self._waiting) >= WAITING_AT_MOST:
            self._not_recorded += event.count
            NOT_RECORDED.inc(event.count)
            if event.type is SecurityEventType.SIGN_IN:
                say(event)  # else it is logged once it is known to be the first
            return
        self._waiting.append(event)
        self._news.set()

    async def run(self, pool: asyncpg.Pool, stop: asyncio.Event) -> None:
        """Write what was noted until `stop` is set; the database may go away and come back."""
        while not stop.is_set():
            self._news.clear()
            self._count_over(all_=False)
            await outlast(partial(self._write, pool), stop, "security-log")
            await first_of(self._news, stop, patience_s=_LOOK_EVERY_S)

    async def flush(self, pool: asyncpg.Pool) -> None:
        """Write all that is left, at the end of the process; the database has a few seconds for it."""
        self._count_over(all_=True)
        give_up = asyncio.Event()
        timer = asyncio.get_running_loop().call_later(_END_WITHIN_S, give_up.set)
        await outlast(partial(self._write, pool), give_up, "security-log")
        timer.cancel()

    def _count_over(self, *, all_: bool) -> None:
        for event in self._tally.take_due(datetime.now(UTC), all_=all_):
            self._tell(event)

    async def _write(self, pool: asyncpg.Pool) -> None:
        if self._not_recorded and len(self._waiting) < WAITING_AT_MOST:
            count, self._not_recorded = self._not_recorded, 0
            self._tell(SecurityEvent(type=SecurityEventType.NOT_RECORDED, at=datetime.now(UTC), count=count))
        while self._waiting:
            some = [self._waiting[index] for index in range(min(_PAGE, len(self._waiting)))]
            new = await _insert(pool, some)
            for _ in some:  # not before they are stored: what fails is tried again
                self._waiting.popleft()
            for event in some:
                is_one_sign_in = event.type is SecurityEventType.SIGN_IN and event.last_at is None
                if is_one_sign_in and (event.key_prefix, event.address) in new:
                    say(event)


async def _insert(pool: asyncpg.Pool, events: Sequence[SecurityEvent]) -> set[tuple[str | None, str | None]]:
    """Write events in one statement; return key and address of the sign-ins that are the first."""
    rows = [
        (
            one.at,
            one.type,
            one.actor,
            one.key_prefix,
            one.address,
            one.call,
            one.subject,
            one.status,
            one.count,
            one.last_at,
            None if one.details is None else orjson.dumps(one.details).decode(),
        )
        for one in events
    ]
    written = await pool.fetch(WRITE, *zip(*rows, strict=True))
    return {(row["key_prefix"], row["address"]) for row in written if row["type"] == "sign_in"}


def network_of(address: str | None) -> str | None:
    """Return whom an address stands for: of IPv6 the network of 64 bits, which anybody has to themselves."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
