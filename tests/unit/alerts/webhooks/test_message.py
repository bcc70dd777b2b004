import base64
import hashlib
import hmac
from datetime import UTC, datetime

import orjson
from standardwebhooks import Webhook

from alerts.webhooks.message import LARGEST_BODY, body, headers

NOW = datetime(2026, 11, 21, 8, 0, 0, 999_000, tzinfo=UTC)


def test_the_body_is_type_timestamp_and_data() -> None:
    assert body("alert.firing", NOW, {"id": "A"}) == (
        b'{"type":"alert.firing","timestamp":"2026-11-21T08:00:00.999000Z","data":{"id":"A"}}'
    )


def test_the_largest_parts_are_left_out_first_and_named() -> None:
    data = {"id": "A", "sequence": 7, "legs": ["x"] * 6000, "devices": ["y"] * 3000, "note": "z" * 100}
    written = body("shipment.departed", NOW, data)
    assert len(written) < LARGEST_BODY
    assert orjson.loads(written)["data"] == {
        "id": "A", "sequence": 7, "devices": ["y"] * 3000, "note": "z" * 100, "left_out": ["legs"],
    }  # fmt: skip


def test_signatures_are_those_of_the_standard() -> None:
    """Computed here by the standard's own words, apart from the library."""
    made = headers("1-2", '{"a":1}', [b"new" * 8, b"old" * 8], NOW)
    assert (made["webhook-id"], made["webhook-timestamp"]) == ("1-2", str(int(NOW.timestamp())))
    signed = f"1-2.{int(NOW.timestamp())}." + '{"a":1}'
    expected = [
        "v1," + base64.b64encode(hmac.new(key, signed.encode(), hashlib.sha256).digest()).decode()
        for key in (b"new" * 8, b"old" * 8)
    ]
    assert made["webhook-signature"].split(" ") == expected


def test_either_secret_verifies_while_both_sign() -> None:
    text = '{"temperature":"−150 °C"}'
    made = headers("1-2", text, [b"new" * 8, b"old" * 8], datetime.now(UTC))
    for secret in (b"new" * 8, b"old" * 8):
        assert Webhook(secret).verify(text, made) == {"temperature": "−150 °C"}
