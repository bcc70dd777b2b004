"""Messages as loggers send them, byte for byte, each with what must come of it.

Of each `NAME.payload` the outcome stands in `NAME.json`; REWRITE=1 in the environment writes it anew, to be read
before it is believed.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from telemetry.ingest.validate_message import validate_message
from telemetry.model import RawMessage, Reading, Source

FOLDER = Path(__file__).parent / "messages"
RECEIVED_AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
TOPICS = {
    "a-status": "dewar/v1/LOG-1/status",
    "a-device-id-with-a-slash": "dewar/v1/LOG/1/readings",
    "an-unknown-device": "dewar/v1/LOG-9/readings",
}


def plain(value):
    return value.isoformat() if isinstance(value, datetime) else value


def outcome(name, payload):
    topic = TOPICS.get(name, "dewar/v1/LOG-1/readings")
    validated = validate_message(RawMessage(Source.MQTT, topic, payload, RECEIVED_AT), {"LOG-1", "LOG-2"})
    return {
        "topic": topic,
        "stored": [
            {
                field: plain(value)
                for field, value in reading._asdict().items()
                if value != Reading._field_defaults.get(field)
            }
            for reading in validated.readings
        ],
        "refused": [
            {
                field: value
                for field in ("index", "reason", "detail", "device_id", "boot", "seq")
                if (value := getattr(refusal, field)) is not None
            }
            for refusal in validated.refusals
        ],
        "status": None if validated.status is None else [plain(part) for part in validated.status],
    }


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.payload")), ids=lambda path: path.stem)
def test_a_message(path):
    found = outcome(path.stem, path.read_bytes())
    expected = path.with_suffix(".json")
    if os.environ.get("REWRITE"):
        expected.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    assert found == json.loads(expected.read_text())


def test_every_outcome_has_its_payload():
    assert {path.stem for path in FOLDER.glob("*.json")} == {path.stem for path in FOLDER.glob("*.payload")}
