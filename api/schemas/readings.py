"""Readings as they cross the HTTP interface."""

from typing import Any

from pydantic import Field

from alerts.wording import rfc3339
from api.schemas.fields import Shown, Time
from telemetry.model import RefusalReason

_ALWAYS = ("device_id", "measured_at", "received_at", "source", "temperature_c", "probe_ok")


class ReadingOut(Shown):
    """A stored reading; fields that the logger did not send are absent."""

    device_id: str
    measured_at: Time
    received_at: Time
    source: str
    temperature_c: float | None
    probe_ok: bool
    seq: int | None = None
    boot: int | None = None
    lat: float | None = None
    lon: float | None = None
    accuracy_m: float | None = None
    ambient_c: float | None = None
    battery_pct: float | None = None
    tilt_deg: float | None = None
    shock_g: float | None = None
    lid_open: bool | None = None
    ln2_kg: float | None = None
    pressure_hpa: float | None = None
    humidity_pct: float | None = None
    flight_mode_until: Time | None = None
    extra: dict[str, Any] | None = Field(None, description="Fields that we do not know, as sent.")


_SOMETIMES = tuple(name for name in ReadingOut.model_fields if name not in _ALWAYS)


class Trace(Shown):
    items: list[ReadingOut]
    next_cursor: str | None
    bucket_s: float | None = Field(
        description="With `points`: of each logger and each stretch of this length, the coldest and the warmest "
        "reading are given. Null where nothing was left out."
    )


def shown(row: Any) -> dict[str, Any]:
    """Give a stored reading as JSON; without a model between, since a trace has thousands."""
    reading = {name: row[name] for name in _ALWAYS}
    reading |= {name: value for name in _SOMETIMES if (value := row[name]) is not None}
    for name in ("measured_at", "received_at", "flight_mode_until"):
        if name in reading:
            reading[name] = rfc3339(reading[name])
    return reading


class RejectedReading(Shown):
    index: int = Field(description="Its place in `readings`, from 0.")
    reason: RefusalReason
    detail: str


class ReadingsStored(Shown):
    accepted: int = Field(description="Stored now.")
    duplicates: int = Field(description="Known already with the same values; nothing to do.")
    rejected: list[RejectedReading]


READINGS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["readings"],
                    "additionalProperties": False,
                    "properties": {
                        "readings": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": 1000,
                            "items": {
                                "type": "object",
                                "required": ["device_id", "measured_at"],
                                "properties": {
                                    "device_id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
                                    "measured_at": {
                                        "description": "RFC 3339 with an offset, or epoch milliseconds.",
                                        "anyOf": [
                                            {"type": "string", "format": "date-time"},
                                            {"type": "integer"},
                                        ],
                                    },
                                    "temperature_c": {
                                        "type": "number",
                                        "description": "Required unless `probe_ok` is false.",
                                    },
                                    "probe_ok": {"type": "boolean", "default": True},
                                },
                                "additionalProperties": True,
                            },
                        }
                    },
                },
                "example": {
                    "readings": [
                        {
                            "device_id": "LOG-4711",
                            "measured_at": "2026-11-21T03:45:00Z",
                            "temperature_c": -178.4,
                            "battery_pct": 81,
                        }
                    ]
                },
            }
        },
    }
}
"""For the OpenAPI document: the route itself takes each reading raw, so that one bad one costs only itself."""
