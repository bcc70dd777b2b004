"""Pure: the shared vocabulary of telemetry."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NamedTuple, TypeAlias

DEVICE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a device id looks like; use `fullmatch`."""

JsonObject: TypeAlias = Mapping[str, Any]


class Source(StrEnum):
    """The way by which a reading reached us."""

    MQTT = "mqtt"
    HTTP = "http"


class RefusalReason(StrEnum):
    """Why a message or a reading was refused; the words are part of the public contract."""

    NOT_JSON = "not_json"
    TOO_LARGE = "too_large"
    INVALID_READING = "invalid_reading"
    UNKNOWN_DEVICE = "unknown_device"
    DEVICE_MISMATCH = "device_mismatch"
    CLOCK_AHEAD = "clock_ahead"
    CONFLICT = "conflict"


class Message(NamedTuple):
    """What arrived, before anybody looked inside: bytes, where from, and when."""

    source: Source
    origin: str
    """The MQTT topic, or the HTTP caller's key prefix."""
    payload: bytes
    received_at: datetime


class Reading(NamedTuple):
    """One sample of one logger, validated; identified by `(device_id, measured_at)`.

    Units are in the names. `extra` holds the fields that we do not know, as sent. A tuple and not a dataclass,
    since a batch of thousands is made, compared and turned into columns: that takes a fifth of the time.
    """

    device_id: str
    measured_at: datetime
    temperature_c: float | None = None
    probe_ok: bool = True
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
    flight_mode_until: datetime | None = None
    extra: JsonObject | None = None


class Status(NamedTuple):
    """What a logger's status topic said of its connection."""

    device_id: str
    connection: Literal["online", "offline"]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A message, or one reading of it, that we keep as evidence but do not trust."""

    reason: RefusalReason
    detail: str
    """What is wrong and what would be right, for the person who has to mend it."""
    index: int | None = None
    """Its place in the array that was sent; None where the whole message is refused."""
    device_id: str | None = None
    boot: int | None = None
    seq: int | None = None
    """Where legible, so that the logger is told that this one need not be sent again."""
