"""Pure: the shared vocabulary of telemetry: messages, readings and refusals."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NamedTuple, TypeAlias

DEVICE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""The form of a device id; match with `fullmatch`."""

JsonObject: TypeAlias = Mapping[str, Any]


class Source(StrEnum):
    """How a reading reached us."""

    MQTT = "mqtt"
    HTTP = "http"


class Authority(StrEnum):
    """What a reading is: a measurement, or what somebody says it was. The values are part of the public API, as `source`."""

    LOGGER = "logger"
    """Measured, and handed in by the logger itself, its gateway, or whoever read it out."""
    MANUAL = "manual"
    """Read off and typed by somebody."""


class RefusalReason(StrEnum):
    """Why a message or a reading was refused. The values are part of the public API."""

    NOT_JSON = "not_json"
    TOO_LARGE = "too_large"
    INVALID_READING = "invalid_reading"
    UNKNOWN_DEVICE = "unknown_device"
    DEVICE_MISMATCH = "device_mismatch"
    CLOCK_AHEAD = "clock_ahead"
    CONFLICT = "conflict"
    NOT_YOURS = "not_yours"


class RawMessage(NamedTuple):
    """A message as received: its bytes, its origin and its time of receipt."""

    source: Source
    origin: str
    """The MQTT topic, or the name of the HTTP caller."""
    payload: bytes
    received_at: datetime
    clock_is_sure: bool = True
    """Whether `received_at` can be trusted: otherwise nothing in the message is refused for its time."""
    is_replayed: bool = False
    """Whether the broker had retained it: then `received_at` does not say when it was sent, nor by whom."""
    authority: Authority = Authority.LOGGER
    author: str | None = None
    """Who sent it, as records say it; None: the logger itself."""

    @property
    def latest_from(self) -> datetime | None:
        """The instant that times in the message are held against; None: none is too late."""
        return self.received_at if self.clock_is_sure else None


class Reading(NamedTuple):
    """One validated sample from one logger, identified by `(device_id, measured_at)`.

    Units are in the names. `extra` holds unknown fields, as sent. This is a tuple rather than a dataclass because
    thousands are created, compared and transposed into columns per batch, and a tuple takes a fifth of the time.
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


class ConnectionStatus(NamedTuple):
    """The connection state that was published on a logger's status topic."""

    device_id: str
    connection: Literal["online", "offline"]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a whole message, or one reading in it, was refused. The message is kept as evidence."""

    reason: RefusalReason
    detail: str
    """What is wrong and what would be right, for the person who has to fix it."""
    index: int | None = None
    """The reading's position in the array that was sent; None if the whole message is refused."""
    device_id: str | None = None
    boot: int | None = None
    seq: int | None = None
    """`boot` and `seq` are set if legible, so that the acknowledgement covers the refused reading as well."""
