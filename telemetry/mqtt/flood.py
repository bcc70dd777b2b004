"""Pure: who sends more than an honest logger could have to send, by what its messages turn out to be.

A logger that unloads weeks of buffer is honest, and so is one that sends what it has not seen acknowledged again: both
have room for that. Garbage has little: no reading comes of it, and each byte of it is kept as evidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from telemetry.ingest.decode import MAX_BYTES, MAX_BYTES_PER_READING, MAX_PARSED_BYTES, is_packed


class FloodReason(StrEnum):
    """What a logger sends too much of. The values are part of the public API."""

    GARBAGE = "garbage"
    """What is refused."""
    REPETITION = "repetition"
    """What is stored already, and statuses."""
    VOLUME = "volume"
    """Anything at all, new readings among it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How much one logger may send at once, and how fast it may go on then; either limit counts."""

    messages: float
    messages_per_s: float
    size: float
    """In bytes."""
    size_per_s: float


ALLOWANCES: Mapping[FloodReason, Allowance] = MappingProxyType(
    {
        FloodReason.GARBAGE: Allowance(
            messages=2_000, messages_per_s=20, size=4 * 2**20, size_per_s=64 * 2**10
        ),
        # After an outage of twelve hours, a logger that measures once a minute and sends all that is not acknowledged
        # again each five minutes, one by one, has left 52,000 messages at the broker: 30,000 go within a minute.
        FloodReason.REPETITION: Allowance(
            messages=50_000, messages_per_s=200, size=64 * 2**20, size_per_s=2**20
        ),
        # Four weeks at one reading each ten seconds are 242,000 readings: 60 MB in arrays.
        FloodReason.VOLUME: Allowance(
            messages=250_000, messages_per_s=1_000, size=256 * 2**20, size_per_s=4 * 2**20
        ),
    }
)


@dataclass(slots=True)
class _Level:
    """What has been sent and not been forgiven yet, as of an instant."""

    at: float
    messages: float = 0.0
    size: float = 0.0


class FloodWatch:
    """Counts by logger; the time is any clock that only goes forward, in seconds."""

    def __init__(self, allowances: Mapping[FloodReason, Allowance] = ALLOWANCES) -> None:
        self._allowances = allowances
        self._levels: dict[tuple[FloodReason, str], _Level] = {}

    def __len__(self) -> int:
        return len(self._levels)

    def is_flood(
        self, reason: FloodReason, device_id: str, *, messages: float, size: float, now: float
    ) -> bool:
        """Count what a logger has sent; return whether it is more than it may. If so, counting starts anew."""
        level = self._levels.setdefault((reason, device_id), _Level(now))
        allowed = self._allowances[reason]
        _forgive(level, allowed, now)
        level.messages += messages
        level.size += size
        if level.messages <= allowed.messages and level.size <= allowed.size:
            return False
        for each in FloodReason:
            self._levels.pop((each, device_id), None)
        return True

    def sweep(self, now: float) -> None:
        """Forget those of whom nothing is left to forgive, so that what is kept follows those who send."""
        for key, level in list(self._levels.items()):
            _forgive(level, self._allowances[key[0]], now)
            if not level.messages and not level.size:
                del self._levels[key]


def is_surely_refused(payload: bytes) -> bool:
    """Tell by a glance, without parsing, that a message is too large for the readings that it can have."""
    if len(payload) <= MAX_BYTES or is_packed(payload):
        return False
    if len(payload) > MAX_PARSED_BYTES:
        return True
    return payload.count(b'"measured_at"') * MAX_BYTES_PER_READING < len(payload) and b"\\" not in payload


UNPACKED_READING = 256
"""Bytes of a reading, about, where it came packed."""


def weight(payload: bytes, readings: int, *, is_too_large: bool = False) -> int:
    """Return how many bytes a message counts for: what is packed costs what is in it, however few bytes that takes."""
    if not is_packed(payload):
        return len(payload)
    return MAX_PARSED_BYTES if is_too_large else max(len(payload), UNPACKED_READING * readings)


def repeated(accepted: int, duplicates: int, refused: int) -> float:
    """Return which part of a message was repetition, from 0 to 1; a status, which has no readings, is repetition."""
    total = accepted + duplicates + refused
    return duplicates / total if total else 1.0


def _forgive(level: _Level, allowed: Allowance, now: float) -> None:
    passed = max(0.0, now - level.at)
    level.at = max(level.at, now)
    level.messages = max(0.0, level.messages - passed * allowed.messages_per_s)
    level.size = max(0.0, level.size - passed * allowed.size_per_s)
