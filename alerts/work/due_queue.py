"""A queue of keys that are due: because a mark says that something changed, or because a deadline has come.

Every change inserts a mark, without waiting for any lock. Each key has a row with its next deadline. A claim
takes the advisory lock of each key until the end of the transaction, and reads the key's marks in the same
statement. The process that claimed loads, decides and saves. Then one statement writes the deadlines and
deletes the marks that were read, and only those of keys whose rows it wrote. So no mark is deleted without a
row with the deadline that follows from it. A mark that commits meanwhile stays, and makes its key due again.

Each statement sees what was committed before it, so the change behind a mark is visible to every statement
after the claim. A mark that another process has just deleted may still be seen; its key is then evaluated
once more.

A claim looks at the oldest marks and deadlines only, so its cost does not grow with the backlog. If keys that
another process holds fill that window, a second statement looks past them: at keys instead of marks.

Each row also has the instant, by the database's clock, as of which its deadline was decided. A deadline that was
decided in the future was set by a clock that has gone back since: it is attended to at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Final, TypeAlias

import asyncpg

from alerts.model import Instant, to_instant
from alerts.work.bulk import Connection
from alerts.work.clock import SET_IN_THE_FUTURE
from alerts.work.wakeup import Wakeup, first_of, outlast
from telemetry.channels import NotifyChannel
from telemetry.locks import LockSpace

Rows: TypeAlias = Sequence[asyncpg.Record]

POLL_S: Final = 1.0
"""How often to look for work if no notification comes."""
LEAST_WAIT_S: Final = 0.02
"""The least wait: an overdue key that cannot be claimed is another process's; looking at once is wasted."""
LONGEST_BACKOFF_S: Final = 600.0
LONGEST_HELD_S: Final = 30.0
"""The same for what others only hold: nothing is wrong with it, and it is free again at any moment."""
WIDE: Final = 5000
"""How many keys a claim looks at if other processes hold those in the window: more than these hold together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which of the due keys to claim."""

    marks: str = "true"
    """The condition on a mark, in SQL."""
    deadlines: bool = True
    """Whether to claim keys whose deadline has come, too."""
    waits: bool = False
    """Whether to leave a key for a while after its oldest mark, so that more can come."""


EVERYTHING: Final = Selection()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """Keys that are ours until the end of the transaction, with the marks that the claim read."""

    keys: tuple[str, ...]
    marks: Rows = ()
    """Rows with `key`, `id`, `marked_at` and the queue's `mark_columns`."""
    done_at: Mapping[str, datetime] = field(default_factory=dict)
    """As of when each key was last done, if it ever was and the queue has a column for it."""

    @classmethod
    def of(cls, found: Rows) -> "Claimed":
        """Build it from rows of keys, each with one mark or none; a row without a key says that there is none."""
        rows = [row for row in found if row["key"] is not None]
        return cls(
            keys=tuple(dict.fromkeys(row["key"] for row in rows)),
            marks=[row for row in rows if row["id"] is not None],
            done_at={row["key"]: row["done_at"] for row in rows if row["done_at"] is not None},
        )

    def __add__(self, other: "Claimed") -> "Claimed":
        """Return two claims, which have no key in common, as one."""
        return Claimed(
            keys=(*self.keys, *other.keys),
            marks=(*self.marks, *other.marks),
            done_at={**self.done_at, **other.done_at},
        )

    def oldest_marks(self) -> dict[str, Instant]:
        """Return the instant of the oldest mark of each key that has one."""
        oldest: dict[str, Instant] = {}
        for mark in self.marks:
            at = to_instant(mark["marked_at"])
            oldest[mark["key"]] = min(at, oldest.get(mark["key"], at))
        return oldest

    def mark_ids(self, keys: Iterable[str]) -> list[int]:
        """Return the ids of the marks of some keys."""
        wanted = set(keys)
        return [mark["id"] for mark in self.marks if mark["key"] in wanted]


NOTHING: Final = Claimed(keys=())


@dataclass(frozen=True, slots=True, kw_only=True)
class DueQueue:
    """A queue, described by the names of its tables and columns."""

    channel: NotifyChannel
    """Notified when a mark is inserted."""
    lock_space: LockSpace
    marks: str
    """The table of marks: `id`, the key, `marked_at`, and `mark_columns`."""
    rows: str
    """The table with a row for each key: key, deadline, `set_at`, `failures`, `error`, and `done_at` if any."""
    key: str
    deadline: str
    done_at: str | None = None
    """The column that says as of when a key was last done. If set, only keys that have a row are claimed."""
    mark_columns: tuple[str, ...] = ()
    """Further columns of a mark that a claim reads."""

    async def claim(
        self,
        connection: Connection,
        limit: int,
        selection: Selection = EVERYTHING,
        *,
        besides: Sequence[str] = (),
        wait_s: float = 0.0,
    ) -> Claimed:
        """Claim at most `limit` due keys that nobody else has claimed, the longest waiting first.

        If the selection waits, the keys in `besides` are left out, and those whose oldest mark is younger
        than `wait_s` seconds.
        """
        more = (besides, wait_s) if selection.waits else ()
        rows = await connection.fetch(_sql(self, _CLAIM, selection), limit, *more)
        claimed = Claimed.of(rows)
        room = limit - len(claimed.keys)
        if room and rows[0]["is_full"]:
            others = [*besides, *claimed.keys]
            claimed += Claimed.of(
                await connection.fetch(_sql(self, _CLAIM_WIDE, selection), room, others, wait_s)
            )
        return claimed

    async def wait_for(self, connection: Connection, keys: Sequence[str]) -> None:
        """Lock certain keys until the end of the transaction, waiting for other processes that hold them."""
        await connection.execute(_sql(self, _WAIT_FOR), keys)

    async def find(self, connection: Connection, keys: Sequence[str]) -> Claimed:
        """Read certain keys, as far as they have rows, with their marks, due or not; locks nothing."""
        return Claimed.of(await connection.fetch(_sql(self, _FIND), keys))

    async def write_deadlines(
        self,
        connection: Connection,
        claimed: Claimed,
        deadlines: Mapping[str, datetime | None],
        as_of: datetime,
        done_at: datetime | None = None,
    ) -> None:
        """Write when keys are due if no mark comes first (None: never); delete the marks read of them.

        `as_of` is what the database's clock said when the deadlines were decided; `done_at` is the same if not
        given.
        """
        of_each = list(deadlines), list(deadlines.values()), claimed.mark_ids(deadlines)
        done = () if self.done_at is None else (done_at or as_of,)
        await connection.execute(_sql(self, _WRITE_DEADLINES), *of_each, as_of, *done)

    async def set_aside(
        self,
        connection: Connection,
        claimed: Claimed,
        errors: Mapping[str, str],
        held: Collection[str] = (),
    ) -> None:
        """Retry failed keys after 1, 2, 4 … up to 600 s, those held by others up to 30 s; delete their marks read."""
        longest_s = [LONGEST_HELD_S if key in held else LONGEST_BACKOFF_S for key in errors]
        of_each = list(errors), list(errors.values()), claimed.mark_ids(errors), longest_s
        await connection.execute(_sql(self, _SET_ASIDE), *of_each)

    async def mend_clock(self, pool: asyncpg.Pool) -> Sequence[float]:
        """Make due at once what a clock has set that was ahead; return by how many seconds it was, for each key."""
        return [float(row["ahead_s"]) for row in await pool.fetch(_sql(self, _MEND_CLOCK))]

    async def mend_all(self, pool: asyncpg.Pool) -> Sequence[float]:
        """Make due at once what was done by a clock that was ahead, also where no deadline came of it.

        Reads all rows, as many as there ever were: it is for when the clock was seen to go back.
        """
        return [float(row["ahead_s"]) for row in await pool.fetch(_sql(self, _MEND_ALL))]

    async def patience_s(self, pool: asyncpg.Pool) -> float:
        """Return the seconds until the next deadline, or until the next poll if that is sooner."""
        until = await pool.fetchval(_sql(self, _NEXT_DEADLINE))
        return POLL_S if until is None else min(max(float(until), LEAST_WAIT_S), POLL_S)

    async def run(
        self,
        pool: asyncpg.Pool,
        work: Callable[[], Awaitable[int]],
        stop: asyncio.Event,
        *,
        name: str,
        rest_s: float = 0.0,
    ) -> None:
        """Call `work` until `stop` is set; it returns how much it found.

        If it found something, it is called again at once, or after `rest_s` seconds; else when the next key
        is due. Retries while the database is away.
        """
        async with Wakeup(pool, self.channel) as wakeup:
            while not stop.is_set():
                wakeup.clear()
                if not await outlast(work, stop, name):
                    patience_s = await outlast(lambda: self.patience_s(pool), stop, name)
                    await wakeup.wait(patience_s or POLL_S, stop)
                elif rest_s:
                    await first_of(stop, patience_s=rest_s)


_MARKED = """
SELECT {q.key} AS key, marked_at AS since FROM {q.marks} WHERE {selection.marks} ORDER BY id LIMIT 10 * $1
"""

_PAST_DEADLINE = """
SELECT {q.key} AS key, {q.deadline} AS since FROM {q.rows} WHERE {selection.deadlines} AND {q.deadline} <= now()
ORDER BY {q.deadline} LIMIT {most}
"""

# Each step is one look into the index of keys, however many marks a key has. It begins at the key of some mark and
# goes round, so that where there are more than it looks at, all have their turn.
_MARKED_KEYS = """
SELECT ring.key, m.since FROM ring CROSS JOIN LATERAL (
    SELECT marked_at AS since FROM {q.marks} WHERE {q.key} = ring.key AND {selection.marks} LIMIT 1
) AS m
"""
_RING = """
ring (key, number, start) AS (
    SELECT key, 1, key FROM (
        SELECT {q.key} AS key FROM {q.marks}
        WHERE id >= (SELECT min(id) + floor(random() * (max(id) - min(id) + 1))::bigint FROM {q.marks})
        ORDER BY id LIMIT 1
    ) AS begun
    UNION ALL
    SELECT following.key, number + 1, start FROM ring CROSS JOIN LATERAL (
        SELECT coalesce(
            (SELECT {q.key} FROM {q.marks} WHERE {q.key} > ring.key ORDER BY {q.key} LIMIT 1),
            (SELECT {q.key} FROM {q.marks} ORDER BY {q.key} LIMIT 1)
        ) AS key
    ) AS following WHERE number < {wide} AND following.key <> start
)
"""

# A mark from the future has waited: the clock was set back.
_APART = "WHERE key <> ALL($2::text[])"
_WAITED = """
NOT (since > statement_timestamp() - $3 * interval '1 second' AND since <= statement_timestamp())
"""

# The due keys are materialized in order, or the planner would lock keys that are not claimed. The longest
# waiting come first: in order of keys, the end of the alphabet would starve while the beginning is busy.
_CLAIM_OF = """
due AS MATERIALIZED (
    SELECT key, min(since) AS since FROM (TABLE marked UNION ALL TABLE past) AS found GROUP BY key
), waiting AS MATERIALIZED (
    SELECT key, {done_at} AS done_at FROM due {with_row} {which} ORDER BY since
), claimed AS MATERIALIZED (
    SELECT key, done_at FROM waiting WHERE pg_try_advisory_xact_lock({q.lock_space}, hashtext(key)) LIMIT $1
)
"""
_CLAIM = """
WITH marked AS MATERIALIZED ({marked}), past AS MATERIALIZED ({past}), {claim_of}, found AS (
    SELECT ((SELECT count(*) FROM marked) >= 10 * $1 OR (SELECT count(*) FROM past) >= $1)
        AND (SELECT count(*) FROM due) > (SELECT count(*) FROM claimed) AS is_full
)
SELECT claimed.key, claimed.done_at, found.is_full, {mark}
FROM found LEFT JOIN claimed ON true LEFT JOIN {q.marks} AS m ON m.{q.key} = claimed.key
"""
_CLAIM_WIDE = """
WITH RECURSIVE {ring}, marked AS MATERIALIZED ({marked_keys}), past AS MATERIALIZED ({past_wide}), {claim_of}
SELECT claimed.key, claimed.done_at, {mark}
FROM claimed LEFT JOIN {q.marks} AS m ON m.{q.key} = claimed.key
"""

# Always in the same order, so that two processes do not deadlock.
_WAIT_FOR = """
SELECT pg_advisory_xact_lock({q.lock_space}, hashtext(key)) FROM unnest($1::text[]) AS wanted(key) ORDER BY hashtext(key)
"""

_FIND = """
SELECT r.{q.key} AS key, {done_at} AS done_at, {mark}
FROM {q.rows} AS r LEFT JOIN {q.marks} AS m ON m.{q.key} = r.{q.key}
WHERE r.{q.key} = ANY($1::text[]) ORDER BY r.{q.key}
"""

_TAKE_MARKS = """
DELETE FROM {q.marks} AS m USING unnest($3::bigint[]) AS read(id), written
WHERE m.id = read.id AND m.{q.key} = written.key
"""

_WRITE_DEADLINES = """
WITH written AS (
    INSERT INTO {q.rows} ({columns})
    SELECT {values} FROM unnest($1::text[], $2::timestamptz[]) AS d(key, at)
    ON CONFLICT ({q.key}) DO UPDATE SET {updates}, failures = 0, error = NULL
    RETURNING {q.key} AS key
) {take_marks}
"""

_SET_ASIDE = """
WITH written AS (
    INSERT INTO {q.rows} AS r ({q.key}, {q.deadline}, set_at, failures, error)
    SELECT f.key, clock_timestamp() + least(power(2, coalesce(before.failures, 0)), f.longest_s) * interval '1 second',
        clock_timestamp(), 1, f.error
    FROM unnest($1::text[], $2::text[], $4::float8[]) AS f(key, error, longest_s)
        LEFT JOIN (SELECT {q.key} AS key, least(failures, 30) AS failures FROM {q.rows}) AS before USING (key)
    ON CONFLICT ({q.key}) DO UPDATE SET failures = r.failures + 1, error = EXCLUDED.error, set_at = EXCLUDED.set_at,
        {q.deadline} = EXCLUDED.{q.deadline}
    RETURNING {q.key} AS key
) {take_marks}
"""

# What somebody else has locked is being written anew.
_MEND_CLOCK = f"""
WITH ahead AS (
    SELECT {{q.key}} AS key, extract(epoch FROM set_at - now()) AS ahead_s FROM {{q.rows}}
    WHERE {{q.deadline}} > now() AND {SET_IN_THE_FUTURE} FOR UPDATE SKIP LOCKED
)
UPDATE {{q.rows}} AS r SET {{q.deadline}} = now(), set_at = now() FROM ahead WHERE r.{{q.key}} = ahead.key
RETURNING ahead.ahead_s
"""  # noqa: S608 -- our own words

_MEND_ALL = _MEND_CLOCK.replace("{q.deadline} > now()", "({q.deadline} > now() OR {q.deadline} IS NULL)")

_NEXT_DEADLINE = "SELECT extract(epoch FROM min({q.deadline}) - clock_timestamp()) FROM {q.rows}"


def _which(template: str, selection: Selection) -> str:
    """Return the condition on due keys; a wide look always leaves some out."""
    if selection.waits:
        return f"{_APART} AND {_WAITED}"
    # The parameters are the same, whatever is waited for.
    return f"{_APART} AND $3::float8 IS NOT NULL" if template is _CLAIM_WIDE else ""


@cache
def _sql(queue: DueQueue, template: str, selection: Selection = EVERYTHING) -> str:
    """Fill a template with the names of a queue and the conditions of a selection, all of them our own."""
    has_done_at = queue.done_at is not None
    columns = {queue.key: "d.key", queue.deadline: "d.at", "set_at": "$4::timestamptz"} | (
        {queue.done_at: "$5::timestamptz"} if queue.done_at else {}
    )
    names = {
        "q": queue,
        "selection": selection,
        "wide": WIDE,
        "which": _which(template, selection),
        "with_row": f"JOIN {queue.rows} AS r ON r.{queue.key} = key" if has_done_at else "",
        "done_at": f"r.{queue.done_at}" if has_done_at else "NULL::timestamptz",
        "mark": ", ".join(f"m.{name}" for name in ("id", "marked_at", *queue.mark_columns)),
        "columns": ", ".join(columns),
        "values": ", ".join(columns.values()),
        "updates": ", ".join(f"{name} = EXCLUDED.{name}" for name in columns if name != queue.key),
    }
    parts = {
        "marked": _MARKED,
        "past": _PAST_DEADLINE.replace("{most}", "$1"),
        "ring": _RING,
        "marked_keys": _MARKED_KEYS,
        "past_wide": _PAST_DEADLINE.replace("{most}", "{wide}"),
        "claim_of": _CLAIM_OF,
        "take_marks": _TAKE_MARKS,
    }
    return template.format(**names, **{name: part.format(**names) for name, part in parts.items()})
