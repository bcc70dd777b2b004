"""Request and response bodies for readings."""

import sys
from collections.abc import Collection, Sequence
from typing import Any

from pydantic import Field

from alerts.wording import rfc3339
from api.http.schemas.fields import Shown, Time
from telemetry.fixes import is_fix
from telemetry.ingest.decode import MAX_READINGS
from telemetry.ingest.validate_reading import FIELDS, FieldSpec
from telemetry.model import DEVICE_ID, Authority, RefusalReason, Source

_ALWAYS = ("device_id", "measured_at", "received_at", "source", "via", "author", "temperature_c", "probe_ok")


class ReadingOut(Shown):
    """A stored reading; fields that the logger did not send are absent."""

    device_id: str
    measured_at: Time
    received_at: Time
    source: Authority = Field(
        description="`logger`: measured. `manual`: read off and typed by somebody; judged only where the plan is `manual_only`."
    )
    via: Source = Field(description="How it came.")
    author: str = Field(
        description="Who sent it: `device:` and the logger's id, or `key:` and the name of the key. Of what came by HTTP before "
        "that was kept, `unknown`."
    )
    superseded: bool | None = Field(
        None, description="True for what was typed of an instant at which the logger itself measured."
    )
    disowned: bool | None = Field(
        None,
        description="True for a temperature that is none: it is in no figure and part of no excursion.",
    )
    no_fix: bool | None = Field(
        None,
        description="True where `lat` and `lon` are what a receiver gives that finds no satellites: no position.",
    )
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


_MARKS = ("superseded", "disowned", "no_fix")
_SOMETIMES = tuple(name for name in ReadingOut.model_fields if name not in {*_ALWAYS, *_MARKS})


class Trace(Shown):
    items: list[ReadingOut]
    next_cursor: str | None
    bucket_s: float | None = Field(
        description="With `points`: only the coldest and the warmest reading of each logger in each "
        "interval of this length are returned. Null: nothing was left out."
    )


def shown(row: Any, disowned: Collection[float]) -> dict[str, Any]:
    """Return a stored reading as JSON; not through a model, because a trace has thousands of readings.

    `disowned` are temperatures that are none on its shipment, though they are numbers.
    """
    reading = {name: row[name] for name in _ALWAYS}
    if row["superseded"]:
        reading["superseded"] = True
    if row["probe_ok"] and row["temperature_c"] in disowned:
        reading["disowned"] = True
    if row["lat"] is not None and not is_fix(row["lat"], row["lon"]):
        reading["no_fix"] = True
    reading |= {name: value for name in _SOMETIMES if (value := row[name]) is not None}
    for name in ("measured_at", "received_at", "flight_mode_until"):
        if name in reading:
            reading[name] = rfc3339(reading[name])
    return reading


class RejectedReading(Shown):
    index: int = Field(description="Its index in `readings`, from 0.")
    reason: RefusalReason
    detail: str


class ReadingsStored(Shown):
    source: Authority = Field(description="What the readings were taken as: measured, or typed.")
    accepted: int = Field(description="Stored now.")
    duplicates: int = Field(description="Already stored with the same values; nothing to do.")
    rejected: list[RejectedReading]


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
    """Return the JSON schema of an incoming reading, made from the table that validates it."""
    time = {"type": "string", "format": "date-time"}
    device_id = {"type": ["string", "null"], "pattern": f"^{DEVICE_ID.pattern}$"}
    fields = {name: _field_schema(field) for name, field in FIELDS.items()}
    fields["temperature_c"]["description"] += ", of the payload probe; required unless `probe_ok` is false"
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
            {"anyOf": [_is("number", "temperature_c"), without_probe]},
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
                        "source": {
                            "enum": [one.value for one in Authority],
                            "description": "`logger`: measured, and read out or passed on. `manual`: read off and typed by "
                            "somebody. By default, `manual` for a `courier`, unless each reading has its `seq`, and `logger` for all others.",
                        },
                        "readings": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": MAX_READINGS,
                            "items": reading_schema(required=("device_id", "measured_at")),
                        },
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
