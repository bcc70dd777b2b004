"""Pure: the shared vocabulary of telemetry: messages, readings and refusals."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple, TypeAlias

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
    CLOCK_BEHIND = "clock_behind"
    CONFLICT = "conflict"
    NOT_YOURS = "not_yours"


NOT_OF_THE_LOGGER: Final = frozenset({RefusalReason.UNKNOWN_DEVICE, RefusalReason.NOT_YOURS})
"""What is refused for these reasons was not said by the logger that it names, as far as anybody knows."""


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

    Units are in the names. `extra` holds unknown fields, as sent; `set_aside` those that cannot count, each as an object with
    `value`, what was sent, and `reason`. This is a tuple rather than a dataclass because
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
    set_aside: JsonObject | None = None


JSON_FIELDS: Final = ("extra", "set_aside")
"""The fields of a reading that are stored as JSON."""


class ConnectionStatus(NamedTuple):
    """The connection state that was published on a logger's status topic."""

    device_id: str
    connection: Literal["online", "offline"]
    at: datetime
    """Since when, as far as that is known: never after it was received."""
    said_at: datetime | None = None
    """The time in it; None where it has none."""
    received_at: datetime | None = None
    """When it was received; of one that the broker had retained, the time in it: it was sent by then."""

    def counts_after(self, before: "ConnectionStatus") -> bool:
        """Return whether it counts although `before` came first.

        One that says an older time does not: it is the last will of a session that has ended before. One that says the
        same does, unless it is retained: a last will may have the time at which its session began.
        """
        if self.said_at is None or before.said_at is None or self.said_at > before.said_at:
            return True
        return self.said_at == before.said_at and self.received_at != self.said_at


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
    sent_at: datetime | None = None
    """The time that it carries, where that is legible: it was refused for its time, or for another reading of that time."""
    temperature_c: float | None = None
    """What it says of the payload, where only its time is wrong."""
    fault: str | None = None
    """Which fault of its logger's clock the time shows (`telemetry/timekeeping/faults.py`)."""
    true_at: datetime | None = None
    """When it was probably measured."""
