"""Pure: compare readings with those already stored: a duplicate changes nothing, a conflict is refused.

The reading stored first is always kept.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from telemetry.model import JSON_FIELDS, Reading, Refusal, RefusalReason

ReadingKey: TypeAlias = tuple[str, datetime]
"""Device id and `measured_at`, which identify a reading."""

_COMPARED = [
    (position, name)
    for position, name in enumerate(Reading._fields)
    if name not in {"device_id", "measured_at", *JSON_FIELDS}
]
_MAX_DIFFERENCES = 5


class DuplicateCheck(NamedTuple):
    """How many readings of a message are new, how many are duplicates, and which are conflicts."""

    accepted: int
    duplicates: int
    conflicts: list[Refusal]


def check_duplicates(
    readings: Sequence[Reading], positions: Sequence[int | None], first: dict[ReadingKey, Reading]
) -> DuplicateCheck:
    """Compare the readings of a message with the first ones under their keys; new readings are added to `first`."""
    accepted = duplicates = 0
    conflicts = []
    for reading, position in zip(readings, positions, strict=True):
        stored = first.get(reading[:2])
        if stored is None:
            first[reading[:2]] = reading
            accepted += 1
        elif (refusal := find_conflict(reading, stored)) is None:
            duplicates += 1
        else:
            conflicts.append(replace(refusal, index=position))
    return DuplicateCheck(accepted, duplicates, conflicts)


def find_conflict(sent: Reading, stored: Reading) -> Refusal | None:
    """Compare every value that was sent with the stored reading; return None if none of them differs.

    A value that was not sent this time is no difference, nor is one that is set aside: it is no value. `stored.extra` may be
    the JSON text that is stored.
    """
    differences = [
        f"{name} is {_format(sent[position])} but {_format(stored[position])} is stored"
        for position, name in _COMPARED
        if sent[position] is not None and not _same(sent[position], stored[position])
    ]
    if sent.extra is not None:
        known = _exact(stored.extra)
        differences += [
            f"{json.dumps(name)[:60]} differs from what is stored"
            for name, value in _exact(sent.extra).items()
            if name not in known or known[name] != value
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
        sent_at=sent.measured_at,
        temperature_c=sent.temperature_c,
    )


def _same(sent: Any, stored: Any) -> bool:
    # The database keeps an integer beyond 2^53 as the nearest float.
    return bool(sent == stored) or (isinstance(stored, float) and float(sent) == stored)


def _exact(extra: Mapping[str, Any] | str | None) -> Mapping[str, Any]:
    """Return unknown fields with their numbers as decimals: the database writes 1e300 with all of its digits."""
    text = extra if isinstance(extra, str) else json.dumps(extra or {})
    parsed: Mapping[str, Any] = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return parsed


def _format(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return "nothing" if value is None else json.dumps(value)
