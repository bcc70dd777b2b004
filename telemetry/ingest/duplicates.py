"""Pure: readings that came again: duplicates, which change nothing, and conflicts, which never overwrite."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from telemetry.model import Reading, RefusalReason, Refused

Key: TypeAlias = tuple[str, datetime]
"""What identifies a reading: device id and measured_at."""

_COMPARED = [
    (position, name)
    for position, name in enumerate(Reading._fields)
    if name not in {"device_id", "measured_at", "extra"}
]
_EXTRA = Reading._fields.index("extra")
_SHOWN = 5


def conflict(sent: Reading, stored: Reading) -> Refused | None:
    """Compare every value that was sent with what is stored for the same instant; None where they are the same.

    What was not sent this time is no difference. `extra` may be given as the JSON text that was stored.
    """
    differences = [
        f"{name} is {_shown(sent[position])}, stored is {_shown(stored[position])}"
        for position, name in _COMPARED
        if sent[position] is not None and not _same(sent[position], stored[position])
    ]
    if sent.extra is not None:
        known = _exact(stored.extra)
        differences += [
            f"{json.dumps(name)[:60]} is not as stored"
            for name, value in _exact(sent.extra).items()
            if name not in known or known[name] != value
        ]
    if not differences:
        return None
    more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    return Refused(
        reason=RefusalReason.CONFLICT,
        detail=f"at {sent.measured_at.isoformat()} {'; '.join(differences[:_SHOWN])}{more}: the first stays",
        device_id=sent.device_id,
        boot=sent.boot,
        seq=sent.seq,
    )


def _same(sent: Any, stored: Any) -> bool:
    # The database keeps an integer beyond 2^53 as the nearest float.
    return bool(sent == stored) or (isinstance(stored, float) and float(sent) == stored)


def _exact(extra: Mapping[str, Any] | str | None) -> Mapping[str, Any]:
    """Give unknown fields with their numbers as decimals: the database writes 1e300 with all of its digits."""
    text = extra if isinstance(extra, str) else json.dumps(extra or {})
    parsed: Mapping[str, Any] = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return parsed


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return "absent" if value is None else json.dumps(value)


class Repeats(NamedTuple):
    """What became of the readings of one message that came again."""

    accepted: int
    duplicates: int
    conflicts: list[Refused]


def tell_apart(
    readings: Sequence[Reading], places: Sequence[int | None], first: dict[Key, Reading]
) -> Repeats:
    """Compare the readings of a message with what came first, and take into `first` those that did themselves."""
    accepted = duplicates = 0
    conflicts = []
    for reading, place in zip(readings, places, strict=True):
        stored = first.get(reading[:2])
        if stored is None:
            first[reading[:2]] = reading
            accepted += 1
        elif (refused := conflict(reading, stored)) is None:
            duplicates += 1
        else:
            conflicts.append(replace(refused, index=place))
    return Repeats(accepted, duplicates, conflicts)
