"""Inserts loggers and their shipments into the database in bulk, and makes the messages they send."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import orjson

from alerts.excursions.plan import Plan, make_plan
from bench.support.publisher import Message

BAND = "cryogenic"
SAFE_C, WARM_C = -185.0, -140.0
"""Well inside the band, and above its limit but not critical."""
_DEPARTED_AGO = timedelta(days=2)

_REGISTER = (
    "INSERT INTO devices (device_id) SELECT unnest($1::text[])",
    "INSERT INTO device_states (device_id) SELECT unnest($1::text[])",
)
_SHIP = (
    """INSERT INTO shipments (shipment_id, band, plan, departed_at)
    SELECT 'S-' || unnest($1::text[]), $2, $3::jsonb, $4""",
    """INSERT INTO device_assignments (device_id, shipment_id, starts_at)
    SELECT id, 'S-' || id, $2 FROM unnest($1::text[]) AS id""",
    "INSERT INTO evaluations (shipment_id) SELECT 'S-' || unnest($1::text[])",
)


def device_ids(count: int) -> list[str]:
    """Return `count` logger ids; the shipment of logger X is S-X."""
    return [f"bench-{number:05}" for number in range(count)]


async def ship(
    connection: asyncpg.Connection, loggers: Sequence[str], departed_at: datetime | None = None
) -> None:
    """Register loggers, each on its own shipment, which has departed."""
    plan = make_plan(BAND, {})
    assert isinstance(plan, Plan)
    departed_at = departed_at or datetime.now(UTC) - _DEPARTED_AGO
    async with connection.transaction():
        for statement in _REGISTER:
            await connection.execute(statement, loggers)
        shipments, assignments, evaluations = _SHIP
        await connection.execute(shipments, loggers, BAND, orjson.dumps(plan.to_json()).decode(), departed_at)
        await connection.execute(assignments, loggers, departed_at)
        await connection.execute(evaluations, loggers)


def reading(number: int, measured_ms: int, celsius: float, noise: random.Random) -> dict[str, object]:
    """Return a reading of a logger with position and battery; about 150 bytes as JSON."""
    return {
        "measured_at": measured_ms,
        "temperature_c": round(celsius + noise.uniform(-1, 1), 2),
        "seq": number,
        "boot": 1,
        "lat": round(noise.uniform(48, 52), 5),
        "lon": round(noise.uniform(6, 12), 5),
        "battery_pct": round(noise.uniform(60, 100), 1),
        "ambient_c": round(noise.uniform(10, 30), 1),
        "humidity_pct": round(noise.uniform(30, 60), 1),
    }


def singles(loggers: Sequence[str], count: int, *, after: datetime, seed: int = 1) -> list[Message]:
    """Return `count` messages of one reading each, loggers in turn; those of a logger are a second apart."""
    noise = random.Random(seed)
    began_ms = int(after.timestamp() * 1000)
    return [
        Message(
            topic(loggers[place % len(loggers)]),
            orjson.dumps(reading(nth, began_ms + nth * 1000, SAFE_C, noise)),
        )
        for place in range(count)
        for nth in [1 + place // len(loggers)]
    ]


def batches(
    loggers: Sequence[str], count: int, size: int, *, after: datetime, seed: int = 1
) -> list[Message]:
    """Return `count` messages of `size` consecutive readings each, loggers in turn."""
    noise = random.Random(seed)
    began_ms = int(after.timestamp() * 1000)
    return [
        Message(
            topic(loggers[place % len(loggers)]),
            orjson.dumps([reading(nth, began_ms + nth * 1000, SAFE_C, noise) for nth in numbers]),
        )
        for place in range(count)
        for numbers in [_numbers(place // len(loggers), size)]
    ]


def _numbers(turn: int, size: int) -> range:
    return range(1 + turn * size, 1 + (turn + 1) * size)


def topic(device_id: str) -> str:
    """Return the topic of a logger's readings."""
    return f"dewar/v1/{device_id}/readings"


def last_key(message: Message) -> tuple[str, datetime]:
    """Return the primary key of the last reading in a message."""
    parsed = orjson.loads(message.payload)
    newest = parsed[-1] if isinstance(parsed, list) else parsed
    return message.topic.split("/")[2], datetime.fromtimestamp(newest["measured_at"] / 1000, UTC)


def rows(messages: Sequence[Message], received_at: datetime) -> Iterator[tuple[object, ...]]:
    """Yield the rows that the readings become, in the order of `COLUMNS`."""
    for message in messages:
        device_id = message.topic.split("/")[2]
        parsed = orjson.loads(message.payload)
        for one in parsed if isinstance(parsed, list) else [parsed]:
            measured_at = datetime.fromtimestamp(one["measured_at"] / 1000, UTC)
            values = [one[name] for name in COLUMNS[5:]]
            yield (device_id, measured_at, received_at, "mqtt", True, *values)


COLUMNS = (
    *("device_id", "measured_at", "received_at", "source", "probe_ok"),
    *("temperature_c", "seq", "boot", "lat", "lon", "battery_pct", "ambient_c", "humidity_pct"),
)
"""The columns that these readings fill."""
