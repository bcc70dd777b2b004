"""Asks loggers, once the database went back, to send again what was confirmed to them and is lost."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import structlog

from telemetry.ingest.retry import DATABASE_FAULTS
from telemetry.ingest.sequences import MAX_RANGES, Acknowledgement

log = structlog.get_logger(__name__)

ASKED_FOR: Final = timedelta(days=7)
"""For so long after the loss is noticed each acknowledgement asks for it: a logger on its way is heard when it lands."""

NOTICED = """
SELECT max(noticed_at) AS noticed_at, clock_timestamp() AS now FROM database_restorations
WHERE noticed_at > clock_timestamp() - $1::interval
"""

# Of each logger the newest boot that is known; what it has of others is asked for when it next sends of them.
STORED = """
SELECT DISTINCT ON (device_id) device_id, boot,
    ARRAY(SELECT ARRAY[lower(r), upper(r) - 1] FROM unnest(received) AS r LIMIT $1) AS ranges
FROM logger_sequences WHERE NOT isempty(received) ORDER BY device_id, boot DESC
"""


class Resends:
    """Whether acknowledgements ask for what was lost, and those that all loggers get when that begins."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._asked: datetime | None = None
        """When the loss was noticed that loggers are asked for."""

    def request(self) -> Mapping[str, bool]:
        """Return what is added to each acknowledgement."""
        return {} if self._asked is None else {"resend": True}

    async def look(self) -> list[Acknowledgement]:
        """Return what all loggers are told, once for each time that the database went back; usually nothing."""
        try:
            row = await self._pool.fetchrow(NOTICED, ASKED_FOR)
            assert row is not None
            noticed_at = row["noticed_at"]
            is_new = noticed_at not in {None, self._asked}
            stored = await self._pool.fetch(STORED, MAX_RANGES) if is_new else []
        except DATABASE_FAULTS as error:
            log.warning("resends_not_looked_at", problem=repr(error))
            return []
        self._asked = noticed_at
        if not is_new:
            return []
        log.warning("loggers_asked_to_send_again", loggers=len(stored))
        return [Acknowledgement(row["device_id"], row["boot"], row["ranges"]) for row in stored]
