"""A queue of rows that are worked on outside of transactions: claimed under a lease, recorded or released.

A row waits until it is due. A claim raises its token, writes when the lease ends, and commits; until then the
row is due for nobody else. Its result counts only while the row still has the claim's token: if the lease has
ended and another process has claimed the row since, the token fences the result off. Rows claimed by a
process that dies become due when their leases end. Rows that a living process has claimed but does not send,
for whatever reason, it releases: they are due at once.

Each row also has the instant at which its deadlines were set, by the database's clock. If that lies in the future,
the clock has gone back since: the row waits from now on for as long as it was meant to wait from then.

Which due rows to claim, and what to record, differs from queue to queue: those statements stand beside their
use, and are built from the conditions and assignments that are defined here once.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Generic, TypeAlias, TypeVar

import asyncpg
import structlog

from alerts.work.bulk import Connection
from alerts.work.clock import SET_IN_THE_FUTURE
from alerts.work.wakeup import outlast

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseQueue:
    """A queue, described by the names of its table and columns; these are put into statements unescaped."""

    table: str
    id_type: str
    state: str
    """The state in which a row waits, leased or not."""
    due_at: str
    """The column that says when a row is due."""
    lease_until: str
    """The column that says when its lease ends. If it is `due_at`, a leased row is due at its lease's end."""
    token: str
    """The column of the fencing token, a number that grows with each claim."""

    def is_due(self, row: str) -> str:
        """Return the condition that a row is due and not leased."""
        due = f"{row}.state = '{self.state}' AND {row}.{self.due_at} <= now()"
        if self._has_lease_column:
            due += f" AND ({row}.{self.lease_until} IS NULL OR {row}.{self.lease_until} <= now())"
        return due

    def takes(self, row: str, lease: str) -> str:
        """Return the assignments that claim the row named `row` in the statement for the interval `lease`."""
        ends = f"{self.lease_until} = now() + {lease}::interval"
        return f"{self.token} = {row}.{self.token} + 1, {ends}, set_at = now()"

    def returns(self, row: str) -> str:
        """Return the columns of a claimed row that a `Lease` is made of."""
        return f"{row}.id, {row}.{self.token} AS token, {row}.{self.lease_until} AS until"

    def is_ours(self, row: str, claim: str) -> str:
        """Return the condition that a row still has the token of the claim `claim` and is unrecorded."""
        ours = (
            f"{row}.id = {claim}.id AND {row}.{self.token} = {claim}.token AND {row}.state = '{self.state}'"
        )
        if self._has_lease_column:  # a row without a lease was recorded or released already
            ours += f" AND {row}.{self.lease_until} IS NOT NULL"
        return ours

    @property
    def gives_back(self) -> str:
        """The assignments that end a lease: the row is due as if it had not been claimed."""
        if not self._has_lease_column:
            return f"{self.due_at} = now(), set_at = now()"
        return f"{self.lease_until} = NULL, {self.due_at} = least({self.due_at}, now()), set_at = now()"

    @property
    def _has_lease_column(self) -> bool:
        return self.lease_until != self.due_at

    async def mend_clock(self, pool: asyncpg.Pool) -> Sequence[float]:
        """Mend what a clock has set that was ahead; return by how many seconds it was, for each row."""
        columns = dict.fromkeys((self.due_at, self.lease_until))
        shifted = ", ".join(f"{name} = now() + (q.{name} - q.set_at)" for name in columns)
        return [
            float(row["ahead_s"]) for row in await pool.fetch(_MEND_CLOCK.format(q=self, shifted=shifted))
        ]

    async def release(self, pool: asyncpg.Pool, leases: Sequence["Lease"]) -> None:
        """Release rows that were claimed but not sent: they are due again at once.

        Their claim may have been rolled back, or be committed at this very moment.
        """
        await pool.execute(
            _RELEASE.format(q=self, held=self.returns("q")),
            [one.id for one in leases],
            [one.token for one in leases],
            [one.until for one in leases],
        )


# A claim that was rolled back gave its token back: the next claim of the row has the same one, and is told apart by when
# its lease ends. A claim whose commit is still under way is waited for, by the lock on its row.
_RELEASE = """
WITH claim AS (
    SELECT * FROM unnest($1::{q.id_type}[], $2::bigint[], $3::timestamptz[]) AS c(id, token, until)
), held AS (
    SELECT {held} FROM {q.table} AS q WHERE q.id IN (SELECT id FROM claim) ORDER BY q.id FOR UPDATE
)
UPDATE {q.table} AS q SET {q.gives_back} FROM held JOIN claim USING (id, token, until)
WHERE q.id = held.id AND q.state = '{q.state}'
"""

# What somebody else has locked is being claimed or recorded: its deadlines are set anew.
_MEND_CLOCK = f"""
WITH ahead AS (
    SELECT id, extract(epoch FROM set_at - now()) AS ahead_s FROM {{q.table}}
    WHERE state = '{{q.state}}' AND {SET_IN_THE_FUTURE} FOR UPDATE SKIP LOCKED
)
UPDATE {{q.table}} AS q SET {{shifted}}, set_at = now() FROM ahead WHERE q.id = ahead.id
RETURNING ahead.ahead_s
"""  # noqa: S608 -- our own words


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lease:
    """A row that is ours to work on until its lease ends; each queue has a subclass with its own fields."""

    id: Any
    token: int
    until: datetime
    """When the lease ends, by the database's clock."""

    @property
    def target(self) -> Hashable:
        """The recipient; how many are held is counted for each."""
        raise NotImplementedError


L = TypeVar("L", bound=Lease)
Claim: TypeAlias = Callable[[Connection], Awaitable[Sequence[L]]]
"""Claims some rows in the connection's transaction."""

# Between its one statement and its commit a claim waits for nothing: a process that takes longer stands still, and what it
# would have is locked. The server ends its session, and others have the rows at once.
CLAIM_AT_ONCE: Final = "SET LOCAL idle_in_transaction_session_timeout = '5s'"


class Leases(Generic[L]):
    """The rows that this process has claimed and not finished: waiting to be sent, or being sent by a task.

    No claimed row is forgotten: it is sent, kept for later, or released, whatever happens in between. While
    the database is away, releasing is retried until `drain` ends.
    """

    def __init__(
        self, pool: asyncpg.Pool, queue: LeaseQueue, *, name: str, released: Callable[[], None] | None = None
    ) -> None:
        """`name` appears in logs; `released` is called whenever rows were released and are due again."""
        self._pool, self._queue, self._name, self._released = pool, queue, name, released
        self.held: Counter[Hashable] = Counter()
        """How many are kept or being sent, by target."""
        self._claimed: set[L] = set()
        self._kept: dict[L, None] = {}
        self._sending: dict[asyncio.Task[None], L] = {}
        self._releasing: set[asyncio.Task[None]] = set()
        self._give_up = asyncio.Event()

    @property
    def kept(self) -> int:
        """How many are waiting to be sent."""
        return len(self._kept)

    @property
    def sending(self) -> int:
        """How many are being sent."""
        return len(self._sending)

    @asynccontextmanager
    async def claim(self, some: Claim[L]) -> AsyncIterator[Sequence[L]]:
        """Claim rows with `some`; at the end of the block, release those that were neither kept nor sent.

        The rows are known before the claim commits. So if the answer to the commit is lost, rows that may
        have been claimed are released, too.
        """
        claimed: Sequence[L] = ()
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(CLAIM_AT_ONCE)
                claimed = await some(connection)
                self._claimed.update(claimed)
            yield claimed
        finally:
            left = self._claimed.intersection(claimed)
            self._claimed -= left
            self._put_back(left)

    def keep(self, lease: L) -> None:
        """Keep a claimed row, to be sent later."""
        self._claimed.remove(lease)
        self._kept[lease] = None
        self.held[lease.target] += 1

    def send(
        self, lease: L, work: Coroutine[Any, Any, None], done: Callable[[asyncio.Task[None]], None]
    ) -> None:
        """Start sending a claimed or kept row; `done` is called once the task has ended and holds no row.

        The task records the result. If it fails, the row is due again when its lease ends.
        """
        if lease in self._kept:
            self._forget(lease)
        else:
            self._claimed.remove(lease)
        self.held[lease.target] += 1
        task = asyncio.create_task(work)
        self._sending[task] = lease
        task.add_done_callback(partial(self._sent, done))

    def _sent(self, done: Callable[[asyncio.Task[None]], None], task: asyncio.Task[None]) -> None:
        self._lower(self._sending.pop(task))
        done(task)

    def give_back(self, leases: Collection[L]) -> None:
        """Release rows that were kept."""
        for lease in leases:
            self._forget(lease)
        self._put_back(leases)

    def _forget(self, lease: L) -> None:
        del self._kept[lease]
        self._lower(lease)

    def _lower(self, lease: L) -> None:
        self.held[lease.target] -= 1
        if not self.held[lease.target]:
            del self.held[lease.target]

    def _put_back(self, leases: Collection[L]) -> None:
        if leases:
            task = asyncio.create_task(self._release(list(leases)), name=f"{self._name}:release")
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)

    async def _release(self, leases: Sequence[L]) -> None:
        release = partial(self._queue.release, self._pool, leases)
        try:
            await outlast(release, self._give_up, f"{self._name}:release")
        except Exception:  # the rows are due again when their leases end
            log.exception("leases_not_released", during=self._name, count=len(leases))
        if self._released is not None:
            self._released()

    async def drain(self, moment_s: float) -> None:
        """Wait `moment_s` seconds for what is being sent, and release everything else."""
        self.give_back(list(self._kept))
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=moment_s)
            unsent = [self._sending[task] for task in late]
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            self._put_back(unsent)
        timer = asyncio.get_running_loop().call_later(moment_s, self._give_up.set)
        try:
            await asyncio.gather(*self._releasing)
        finally:
            timer.cancel()
