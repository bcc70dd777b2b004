"""Request and response bodies for readings."""

import sys
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from alerts.wording import rfc3339
from api.http.schemas.fields import Shown, Time
from telemetry.ingest.decode import MAX_READINGS
from telemetry.ingest.validate_reading import FIELDS, FieldSpec
from telemetry.model import DEVICE_ID, RefusalReason

_ALWAYS = ("device_id", "measured_at", "received_at", "source", "temperature_c", "probe_ok")


class SetAside(Shown):
    """A field of a reading that cannot count, beside a temperature that does."""

    value: Any = Field(description="As sent; what is long or cannot be kept, as JSON text, shortened.")
    reason: str = Field(description="What is wrong, or what would be right.")


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
    extra: dict[str, Any] | None = Field(None, description="Unknown fields, as sent.")
    set_aside: dict[str, SetAside] | None = Field(
        None, description="Fields that cannot count, by name; the rest of the reading does."
    )


_SOMETIMES = tuple(name for name in ReadingOut.model_fields if name not in _ALWAYS)


class Trace(Shown):
    items: list[ReadingOut]
    next_cursor: str | None
    bucket_s: float | None = Field(
        description="With `points`: only the coldest and the warmest reading of each logger in each "
        "interval of this length are returned. Null: nothing was left out."
    )


def shown(row: Any) -> dict[str, Any]:
    """Return a stored reading as JSON; not through a model, because a trace has thousands of readings."""
    reading = {name: row[name] for name in _ALWAYS}
    reading |= {name: value for name in _SOMETIMES if (value := row[name]) is not None}
    for name in ("measured_at", "received_at", "flight_mode_until"):
        if name in reading:
            reading[name] = rfc3339(reading[name])
    return reading


class RejectedReading(Shown):
    index: int = Field(description="Its index in `readings`, from 0.")
    reason: RefusalReason
    detail: str


class PartOfReading(Shown):
    index: int = Field(description="Its index in `readings`, from 0.")
    fields: dict[str, SetAside] = Field(description="What cannot count, by name; the rest of it does.")


class ReadingsStored(Shown):
    accepted: int = Field(description="Stored now.")
    duplicates: int = Field(description="Already stored with the same values; nothing to do.")
    rejected: list[RejectedReading]
    set_aside: list[PartOfReading] = Field(
        [], description="Readings with fields that cannot count, at most 100; absent if all of each counts."
    )


_BY_JSON_TYPE = {float: "number", int: "integer", bool: "boolean"}


def _field_schema(field: FieldSpec) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": [_BY_JSON_TYPE[field.types[0]], "null"], "description": field.expected}
    if field.types[0] is bool:
        return schema
    if field.low == sys.float_info.min:  # the least number above 0
        schema["exclusiveMinimum"] = 0
    elif field.low != -sys.float_info.max:
        schema["minimum"] = field.low
    return schema if field.high == sys.float_info.max else schema | {"maximum": field.high}


def _is(kind: str, *names: str) -> dict[str, Any]:
    """Return the schema of objects in which these fields have this type; an absent field counts as null."""
    typed = {"properties": {name: {"type": kind} for name in names}}
    return typed if kind == "null" else typed | {"required": [*names]}


def reading_schema(*, required: Sequence[str] = ("measured_at",)) -> dict[str, Any]:
    """Return the JSON schema of an incoming reading of which all counts, made from the table that validates it."""
    time = {"type": "string", "format": "date-time"}
    device_id = {"type": ["string", "null"], "pattern": f"^{DEVICE_ID.pattern}$"}
    fields = {name: _field_schema(field) for name, field in FIELDS.items()}
    fields["temperature_c"]["description"] += (
        ", of the payload probe; required unless `probe_ok` is false; null: the probe is broken"
    )
    fields["probe_ok"] |= {"default": True}
    without_probe = {"required": ["probe_ok"], "properties": {"probe_ok": {"const": False}}}
    return {
        "type": "object",
        "required": [*required],
        "properties": {
            "device_id": device_id,
            "measured_at": {
                "description": "RFC 3339 with an offset, or epoch milliseconds; at most 5 minutes ahead.",
                "anyOf": [time, {"type": "integer", "minimum": 0}],
            },
            **fields,
            "flight_mode_until": {
                "description": "The logger will be silent until then; RFC 3339 with an offset.",
                "anyOf": [time, {"type": "null"}],
            },
        },
        "allOf": [
            {"anyOf": [{"required": ["temperature_c"]}, without_probe]},
            {"anyOf": [_is("number", "lat", "lon"), _is("null", "lat", "lon")]},
        ],
        "additionalProperties": True,
    }


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
                            "maxItems": MAX_READINGS,
                            "items": reading_schema(required=("device_id", "measured_at")),
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
"""For the OpenAPI document: the route parses each reading by itself, so that a bad one rejects no other."""
