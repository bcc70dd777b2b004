"""What the service is compared with: a consumer that does nothing, and a straightforward ingester."""

import asyncio
import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import asyncpg
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench.fleet import COLUMNS
from bench.support.report import BenchError

TOPICS = "dewar/v1/+/readings"
PEER_CHANNEL = "bench_peer"
_LIMIT_C = -150.0
_PATIENCE_S = 120.0

_INSERT = f"""
WITH new AS (
    INSERT INTO readings ({", ".join(COLUMNS)}) VALUES ({", ".join(f"${n}" for n in range(1, len(COLUMNS) + 1))})
    ON CONFLICT DO NOTHING RETURNING device_id, measured_at, temperature_c
)
SELECT pg_notify('{PEER_CHANNEL}', device_id || ' ' || (extract(epoch FROM measured_at) * 1000)::bigint) FROM new
WHERE temperature_c > {_LIMIT_C}
"""


class Consumer:
    """A process that consumes messages, and reports when it has processed each of `counts` in turn."""

    def __init__(self, work: Callable[..., None], counts: Sequence[int], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, counts, *arguments), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self.done()  # wait for its subscription
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def done(self, patience_s: float = _PATIENCE_S) -> float:
        """Wait until the next count is reached; return when it was, on the monotonic clock."""
        try:
            if self._pipe.poll(patience_s):
                return float(self._pipe.recv())
        except EOFError:
            raise BenchError("the consumer has died: see its traceback above") from None
        raise BenchError(f"the consumer did not get everything within {patience_s:g} s")


def empty(pipe: Connection, counts: Sequence[int], url: str, version: int) -> None:
    """Run the limit: paho, which only receives and acknowledges."""
    _consume(pipe, counts, url, version, lambda _: None)


def plain(pipe: Connection, counts: Sequence[int], url: str, version: int, database_url: str) -> None:
    """Run the peer: parse, insert, commit, acknowledge one message after another, arrays in one transaction.

    It validates nothing, knows no shipments, and treats any reading above the limit as an excursion.
    """
    with asyncio.Runner() as runner:
        run = runner.get_loop().run_until_complete
        connection = run(asyncpg.connect(database_url))
        _consume(pipe, counts, url, version, lambda message: run(_insert(connection, message)))


async def _insert(connection: asyncpg.Connection, message: MQTTMessage) -> None:
    device_id, parsed = message.topic.split("/")[2], json.loads(message.payload)
    now = datetime.now(UTC)
    rows = [_row(device_id, now, reading) for reading in (parsed if isinstance(parsed, list) else [parsed])]
    if len(rows) == 1:
        await connection.execute(_INSERT, *rows[0])
    else:
        await connection.executemany(_INSERT, rows)  # one transaction


def _row(device_id: str, now: datetime, reading: dict[str, Any]) -> tuple[object, ...]:
    measured_at = datetime.fromtimestamp(reading["measured_at"] / 1000, UTC)
    return device_id, measured_at, now, "mqtt", True, *(reading.get(name) for name in COLUMNS[5:])


def _consume(
    pipe: Connection, counts: Sequence[int], url: str, version: int, work: Callable[[MQTTMessage], None]
) -> None:
    ends = {sum(counts[: place + 1]) for place in range(len(counts))}
    taken = 0

    def on_message(client: Client, _: object, message: MQTTMessage) -> None:
        nonlocal taken
        work(message)
        client.ack(message.mid, message.qos)
        taken += 1
        if taken in ends:
            pipe.send(time.monotonic())

    client = _client(url, version)
    client.on_connect = lambda client, *_: client.subscribe(TOPICS, qos=1)
    client.on_subscribe = lambda *_: pipe.send(0.0)
    client.on_message = on_message
    client.loop_forever()


def _client(url: str, version: int) -> Client:
    """Connect so that no message is lost: with a session that outlives the connection."""
    parts, protocol = urlsplit(url), MQTTProtocolVersion(version)
    modern = protocol == MQTTProtocolVersion.MQTTv5
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id="dewarwatch-bench-consumer",
        clean_session=None if modern else False,
        protocol=protocol,
        manual_ack=True,
    )
    client.username_pw_set(unquote(parts.username or ""), unquote(parts.password or ""))
    if modern:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's own
        properties.SessionExpiryInterval = 3600
        client.connect(parts.hostname or "", parts.port or 1883, clean_start=False, properties=properties)
    else:
        client.connect(parts.hostname or "", parts.port or 1883)
    return client
