"""Messages to replay: readings of two loggers, a status, and a payload that is not JSON."""

import orjson

from simulators.wire.message import RecordedMessage


def message(at_ms, device, *readings):
    said = readings[0] if len(readings) == 1 else list(readings)
    return RecordedMessage(at_ms, f"dewar/v1/{device}/readings", orjson.dumps(said))


def reading(seq, measured_at="2026-11-21T03:45:00.000Z", **more):
    return {"measured_at": measured_at, "seq": seq, "boot": 3, **more}


STATUS = RecordedMessage(
    5, "dewar/v1/B/status", b'{"state":"online","at":"2026-11-21T03:45:00.000Z"}', retain=True
)
MESSAGES = [
    message(1, "B", reading(0)),
    message(2, "A", reading(0), reading(1, 1_795_232_760_000)),
    message(4, "B", reading(1, "2026-11-21T02:45:00+01:00")),
    STATUS,
    RecordedMessage(9, "dewar/v1/A/readings", b"no JSON"),
]
