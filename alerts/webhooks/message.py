"""Pure: the body and signature of a webhook message (Standard Webhooks 1.0)."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import orjson
from standardwebhooks import Webhook

from alerts.wording import rfc3339

LARGEST_BODY: Final = 20_000
SECRET_BYTES: Final = 32
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what the standard's secrets begin with
_KEPT = frozenset(
    {
        *("id", "shipment_id", "sequence", "revision", "state", "status", "kind", "organization"),
        *("severity", "worst_severity"),
    }
)


def body(type_: str, timestamp: datetime, data: Mapping[str, Any]) -> bytes:
    """Return a message's body, below 20 kB.

    If it would be larger, fields are left out, the largest first, and named in `left_out`.
    """
    written = _written(type_, timestamp, data)
    left_out: list[str] = []
    while len(written) >= LARGEST_BODY:
        sizes = {name: len(orjson.dumps(value)) for name, value in data.items() if name not in _KEPT}
        largest = max(sizes, key=lambda name: sizes[name])
        left_out.append(largest)
        data = {name: value for name, value in data.items() if name not in {largest, "left_out"}}
        data |= {"left_out": left_out}
        written = _written(type_, timestamp, data)
    return written


def _written(type_: str, timestamp: datetime, data: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"type": type_, "timestamp": rfc3339(timestamp), "data": data})


@lru_cache(maxsize=4096)
def _signer(secret: bytes) -> Webhook:
    return Webhook(secret)


def headers(event_id: str, text: str, secrets: Iterable[bytes], now: datetime) -> dict[str, str]:
    """Return the three headers of Standard Webhooks, with a signature for each valid secret; `now` is UTC."""
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(_signer(secret).sign(event_id, now, text) for secret in secrets),
    }
