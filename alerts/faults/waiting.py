"""Sees what is due and waits for long: whoever judges it, or tells people of it, may be what stands still or is not there.

So those who judge are watched by those who tell, and the other way round. Who is at work takes what is due within seconds.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final

import asyncpg
import structlog

from alerts.faults.fault import TOLD_AFTER_S, Fault, Part
from alerts.work.errors import TRY_AGAIN
from alerts.work.wakeup import first_of

log = structlog.get_logger(__name__)

EVERY_S: Final = 5.0

# Keys that failed are told of by themselves, and readings of the past may wait. A message that is being sent, or that a
# process had which died, is looked at again within a minute. What a mail server refuses is tried again later and later:
# none of it works if nothing that was decided since has been sent.
LOOK: Final = """
WITH oldest_unsent AS (
    SELECT min(decided_at) AS decided_at FROM notifications
    WHERE state = 'pending' AND channel = 'email' AND attempts > 0
)
SELECT
    greatest(
        extract(epoch FROM clock_timestamp() - (SELECT marked_at FROM evaluation_marks WHERE NOT late ORDER BY id LIMIT 1)),
        extract(epoch FROM clock_timestamp() - (SELECT evaluate_at FROM evaluations
            WHERE evaluate_at <= now() AND failures = 0 ORDER BY evaluate_at LIMIT 1))
    )::float8 AS unjudged_s,
    greatest(
        extract(epoch FROM clock_timestamp() - (SELECT marked_at FROM attention_marks ORDER BY id LIMIT 1)),
        extract(epoch FROM clock_timestamp() - (SELECT attend_at FROM attention
            WHERE attend_at <= now() AND failures = 0 ORDER BY attend_at LIMIT 1))
    )::float8 AS undecided_s,
    extract(epoch FROM clock_timestamp() - (SELECT send_at FROM notifications
        WHERE state = 'pending' AND send_at <= now() ORDER BY send_at LIMIT 1))::float8 AS unsent_s,
    extract(epoch FROM clock_timestamp() - (SELECT decided_at FROM oldest_unsent WHERE NOT EXISTS (
        SELECT FROM notifications AS n
        WHERE n.decided_at >= oldest_unsent.decided_at AND n.channel = 'email' AND n.state = 'sent'
    )))::float8 AS refused_s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """What it means that something has waited for too long."""

    part: Part
    waited: tuple[str, ...]
    """The columns of `LOOK` that say for how long."""
    late_s: float
    problem: str


LATE: Final = (
    Late(
        part=Part.JUDGING,
        waited=("unjudged_s",),
        late_s=60.0,
        problem="Shipments with new readings or deadlines have waited for over a minute, and nobody judges them: see whether "
        "a process with the role `evaluate` runs and keeps up, and whether a table is locked",
    ),
    Late(
        part=Part.TELLING,
        waited=("undecided_s", "unsent_s"),
        late_s=120.0,
        problem="Alerts or messages have waited for over two minutes, and nobody is told: see whether a process with the "
        "role `deliver` runs and keeps up, and whether a table is locked",
    ),
    Late(
        part=Part.MAIL,
        waited=("refused_s",),
        late_s=120.0,
        problem="No mail has been accepted for over two minutes, though some should go out: the part `notices` of `/readyz`, "
        "of a process with the role `deliver`, has the mail server's answer",
    ),
)


class Waiting:
    """Looks every few seconds, and says what has waited for too long, for as long as it does.

    Something counts once it was seen to wait for a while: a clock that jumps ages everything for a moment.
    """

    def __init__(self, steady: Callable[[], float] = monotonic) -> None:
        self._steady = steady
        self._since: dict[Part, float] = {}

    async def run(self, pool: asyncpg.Pool, stop: asyncio.Event) -> None:
        """Look until `stop` is set; what cannot be seen while the database is away stays as it was."""
        while not stop.is_set():
            try:
                await self.look(pool)
            except TRY_AGAIN as error:
                log.debug("waiting_not_looked_at", error=repr(error))
            await first_of(stop, patience_s=EVERY_S)

    async def look(self, pool: asyncpg.Pool) -> None:
        """Look once."""
        row = await pool.fetchrow(LOOK)
        assert row is not None
        self.note(dict(row))

    def note(self, waited_s: Mapping[str, float | None]) -> None:
        """Take for how long what is oldest has waited; None where nothing waits."""
        for one in LATE:
            if max(waited_s[column] or 0.0 for column in one.waited) > one.late_s:
                self._since.setdefault(one.part, self._steady())
            else:
                self._since.pop(one.part, None)

    def find(self) -> list[Fault]:
        """Return what has waited for too long."""
        now = self._steady()
        seen_s = {part: now - since for part, since in self._since.items()}
        return [
            Fault(one.part, one.late_s + seen_s[one.part], one.problem)
            for one in LATE
            if seen_s.get(one.part, 0.0) >= TOLD_AFTER_S
        ]
