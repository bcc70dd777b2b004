"""Takes in readings that were refused as `clock_ahead` although it was our own clock that was behind.

Only those of loggers, which the broker let in by their names. Whoever sends by HTTP was told of each, and can send again.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from telemetry.ingest.decode import parse_json
from telemetry.ingest.fields.meanings import understand
from telemetry.ingest.pipeline import Ingest
from telemetry.ingest.validate_reading import MAX_AHEAD, parse_instant
from telemetry.model import RawMessage, Refusal, RefusalReason, Source

AT_ONCE: Final = 500

_LOAD: Final = f"""
SELECT r.id, r.message_id, r.position, r.reading, m.origin, m.received_at,
    CASE WHEN coalesce(m.size, octet_length(m.payload)) = octet_length(m.payload) THEN m.payload END AS whole
FROM refusals AS r JOIN refused_messages AS m ON m.id = r.message_id
WHERE r.reason = '{RefusalReason.CLOCK_AHEAD}' AND m.source = '{Source.MQTT}' AND m.received_at BETWEEN $1 AND $2
    AND r.id > $3
ORDER BY r.id LIMIT $4
"""  # noqa: S608 -- our own words
_NOT_KEPT: Final = f"""
SELECT coalesce(sum(not_kept), 0)::bigint FROM refusal_quotas
WHERE reason = '{RefusalReason.CLOCK_AHEAD}' AND source = '{Source.MQTT}' AND first_not_kept_at <= $2 AND last_not_kept_at >= $1
"""  # noqa: S608 -- our own words


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongClock:
    """When the service's clock was wrong, by that clock itself, and by how much it was behind."""

    since: datetime
    until: datetime
    behind: timedelta

    def excuses(self, item: Any, received_at: datetime) -> bool:
        """Return whether a reading would not have been refused, had the clock been right."""
        measured_at = parse_instant(understand(item).raw.get("measured_at")) if isinstance(item, dict) else ""
        return isinstance(measured_at, datetime) and measured_at <= received_at + self.behind + MAX_AHEAD


@dataclass(slots=True)
class TakenIn:
    """What became of the readings that were refused for their time."""

    found: int = 0
    excused: int = 0
    """Refused for our clock alone."""
    stored: int = 0
    already_there: int = 0
    """Sent again, or taken in before."""
    refused: int = 0
    """For another reason, such as a conflict; these are on record as new refusals."""
    not_whole: int = 0
    """Of which not enough is kept to read them."""
    not_kept: int = 0
    """Only counted, as their loggers' quotas were spent."""


async def take_in(pool: asyncpg.Pool, wrong: WrongClock, *, dry_run: bool) -> TakenIn:
    """Store what was refused for a wrong clock of ours; the same again changes nothing. The refusals stay on record."""
    taken, after = TakenIn(), 0
    taken.not_kept = await pool.fetchval(_NOT_KEPT, wrong.since, wrong.until)
    ingest = Ingest(pool)
    while rows := await pool.fetch(_LOAD, wrong.since, wrong.until, after, AT_ONCE):
        after = rows[-1]["id"]
        messages = list(_messages(rows, wrong, taken))
        if dry_run or not messages:
            continue
        outcome = await ingest.store(messages)
        taken.stored += sum(one.accepted for one in outcome.messages)
        taken.refused += sum(len(one.refusals) for one in outcome.messages)
        taken.already_there += sum(one.duplicates for one in outcome.messages)
    return taken


def _messages(rows: Sequence[asyncpg.Record], wrong: WrongClock, taken: TakenIn) -> Iterator[RawMessage]:
    """Make a message of each reading that is excused, as its logger sent it."""
    for row in rows:
        taken.found += 1
        item = _item(row)
        if item is None:
            taken.not_whole += 1
        elif wrong.excuses(item, row["received_at"]):
            taken.excused += 1
            yield RawMessage(
                source=Source.MQTT,
                origin=row["origin"],
                payload=json.dumps(item).encode(),
                received_at=row["received_at"],
                clock_is_sure=False,
            )


def _item(row: asyncpg.Record) -> Any:
    """Return the refused reading as it was sent; None if too little of it is kept."""
    kept = row["reading"].encode() if row["reading"] is not None else row["whole"]
    parsed = None if kept is None else parse_json(kept)
    if parsed is None or isinstance(parsed, Refusal):
        return None
    value = parsed[0]
    if row["reading"] is not None or row["position"] is None or not isinstance(value, list):
        return value
    return value[row["position"]] if row["position"] < len(value) else None
