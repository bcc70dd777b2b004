"""Pure: compare readings with those already stored: a duplicate changes no value, a conflict is refused.

The reading stored first is always kept. Its numbers, `seq` and `boot`, say how it was sent and not what was measured: a
copy that comes by another way may have none, and a later one adds them.

The same measurement is not written alike everywhere. One way sends the number that a logger computes with, of single
precision, another its decimals, a third what the logger's display shows. So values count as the same that differ by no
more than single precision, or by half of the last digit that exports of loggers show (`RESOLUTIONS`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from telemetry.model import Reading, Refusal, RefusalReason

ReadingKey: TypeAlias = tuple[str, datetime]
"""Device id and `measured_at`, which identify a reading."""

RESOLUTIONS: Final[Mapping[str, float]] = {
    "temperature_c": 0.05,
    "ambient_c": 0.05,
    "battery_pct": 0.5,
    "humidity_pct": 0.5,
    "pressure_hpa": 0.5,
    "tilt_deg": 0.5,
    "shock_g": 0.05,
    "ln2_kg": 0.005,
    "lat": 0.00005,
    "lon": 0.00005,
    "accuracy_m": 0.5,
}
"""By how much two copies of one measurement may differ, in the field's unit. Temperatures are shown to 0.1 °C; no sensor in
a shipper is as good as 0.05 °C. A logger that is read to 0.01 °C by one way and shown to 0.1 °C by another differs by as much."""

_SINGLE: Final = 2.0**-23
"""The relative step of a number of single precision."""
_NUMBERS: Final = frozenset({"seq", "boot"})
_TEMPERATURES: Final = frozenset({"temperature_c", "ambient_c"})
_COMPARED = [
    (position, name, RESOLUTIONS.get(name, 0.0))
    for position, name in enumerate(Reading._fields)
    if name not in {"device_id", "measured_at", "extra", *_NUMBERS}
]
_MAX_DIFFERENCES = 5


class DuplicateCheck(NamedTuple):
    """How many readings of a message are new, how many are duplicates, and which are conflicts."""

    accepted: int
    duplicates: int
    conflicts: list[Refusal]
    numbered: list[Reading]
    """Stored readings, or new ones, to which a duplicate adds its numbers, with these."""


def check_duplicates(
    readings: Sequence[Reading],
    positions: Sequence[int | None],
    first: dict[ReadingKey, Reading],
    resolutions: Mapping[str, float] = MappingProxyType({}),
) -> DuplicateCheck:
    """Compare the readings of a message with the first ones under their keys; new readings are added to `first`.

    `resolutions` has what is registered of a logger, in °C, instead of the usual one for temperatures.
    """
    accepted = duplicates = 0
    conflicts, numbered = [], []
    for reading, position in zip(readings, positions, strict=True):
        stored = first.get(reading[:2])
        if stored is None:
            first[reading[:2]] = reading
            accepted += 1
        elif (refusal := find_conflict(reading, stored, resolutions.get(reading.device_id))) is None:
            duplicates += 1
            if (with_numbers := add_numbers(reading, stored)) is not None:
                first[reading[:2]] = with_numbers
                numbered.append(with_numbers)
        else:
            conflicts.append(replace(refusal, index=position))
    return DuplicateCheck(accepted, duplicates, conflicts, numbered)


def add_numbers(sent: Reading, stored: Reading) -> Reading | None:
    """Return the stored reading with the numbers that a copy adds; None if it adds none."""
    if sent.seq is None or stored.seq is not None:
        return None
    return stored._replace(seq=sent.seq, boot=stored.boot if sent.boot is None else sent.boot)


def find_conflict(sent: Reading, stored: Reading, resolution_c: float | None = None) -> Refusal | None:
    """Compare every value that was sent with the stored reading; return None if none of them differs.

    A value that was not sent this time is no difference. `stored.extra` may be the JSON text that is stored.
    """
    differences = [
        f"{name} is {_format(sent[position])} but {_format(stored[position])} is stored"
        for position, name, resolution in _COMPARED
        if sent[position] is not None
        and not _same(
            sent[position],
            stored[position],
            resolution if resolution_c is None or name not in _TEMPERATURES else resolution_c,
        )
    ]
    if sent.extra is not None:
        known = _exact(stored.extra)
        differences += [
            f"{json.dumps(name)[:60]} differs from what is stored"
            for name, value in _exact(sent.extra).items()
            if name not in known or not _same_json(value, known[name])
        ]
    if not differences:
        return None
    more = len(differences) - _MAX_DIFFERENCES
    summary = "; ".join(differences[:_MAX_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")
    return Refusal(
        reason=RefusalReason.CONFLICT,
        detail=f"at {_format(sent.measured_at)}, {summary}: the reading stored first is kept",
        device_id=sent.device_id,
        boot=sent.boot,
        seq=sent.seq,
    )


def _same(sent: Any, stored: Any, resolution: float) -> bool:
    if sent == stored:
        return True
    # The types are compared exactly, because a bool is an int in Python.
    if type(sent) not in {int, float} or type(stored) not in {int, float}:
        return False
    # The database keeps an integer beyond 2^53 as the nearest float.
    one, other = float(sent), float(stored)
    return abs(one - other) <= resolution + _SINGLE * max(abs(one), abs(other))


def _same_json(sent: Any, stored: Any) -> bool:
    """Return whether two values of an unknown field are the same: measured ones may differ by single precision.

    Whole numbers may be counters or ids, and are compared exactly.
    """
    if isinstance(sent, Decimal) and isinstance(stored, Decimal):
        if sent == stored:
            return True
        measured = sent != sent.to_integral_value() or stored != stored.to_integral_value()
        return measured and abs(sent - stored) <= Decimal(_SINGLE) * max(abs(sent), abs(stored))
    if isinstance(sent, dict) and isinstance(stored, dict):
        return sent.keys() == stored.keys() and all(
            _same_json(value, stored[name]) for name, value in sent.items()
        )
    if isinstance(sent, list) and isinstance(stored, list):
        return len(sent) == len(stored) and all(map(_same_json, sent, stored))
    return bool(sent == stored)


def _exact(extra: Mapping[str, Any] | str | None) -> Mapping[str, Any]:
    """Return unknown fields with their numbers as decimals: the database writes 1e300 with all of its digits."""
    text = extra if isinstance(extra, str) else json.dumps(extra or {})
    parsed: Mapping[str, Any] = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return parsed


def _format(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return "nothing" if value is None else json.dumps(value)
