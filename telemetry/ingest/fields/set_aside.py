"""Pure: what is set aside of a reading: fields that cannot count, each with what was sent and why."""

import json
import math
from collections.abc import Container
from typing import Any, Final

from telemetry.model import JsonObject

SHOWN: Final = 60
"""Characters that are shown of a value or of a name."""
MOST: Final = 40
"""Fields that are named; there are fewer known ones, and a message may have thousands of others."""
OTHERS: Final = "(others)"
"""Stands for all that are not named; its value is how many there are."""
MAX_COUNTER: Final = 2**53 - 1
"""The largest integer that every JSON library represents exactly."""
_WHY_OTHERS: Final = f"more than {MOST} fields cannot count: these are not kept one by one"


def put(aside: dict[str, Any], name: str, value: Any, reason: str) -> None:
    """Set a field aside: `aside` gets an object with `value`, what was sent, and `reason`, which says what would be right."""
    key = printable(name)
    if key in aside or key == OTHERS or len(aside) >= MOST:
        others = aside.get(OTHERS, {"value": 0})["value"]
        aside[OTHERS] = {"value": others + 1, "reason": _WHY_OTHERS}
    else:
        aside[key] = {"value": _kept(value), "reason": reason}


def names(aside: JsonObject, known: Container[str]) -> list[str]:
    """Return which known fields were set aside, `other` standing for each that is not known."""
    return [name if name in known else "other" for name in aside]


def show_value(value: Any) -> str:
    """Format a JSON value for an error message: as sent, shortened, in ASCII."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    text = json.dumps(value[:SHOWN] if isinstance(value, str) else value)
    return _short(text)


def printable(name: str) -> str:
    """Return the name of a field as it can be kept and shown: itself, or escaped and shortened."""
    return name if len(name) <= SHOWN and is_storable(name) else _short(json.dumps(name[:SHOWN])[1:-1])


def is_storable(text: str) -> bool:
    """Return whether the database can store a text: NUL and half surrogate pairs it cannot."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _kept(value: Any) -> Any:
    """Return a value as it is kept: itself if it is short and can be stored, otherwise its JSON text, shortened."""
    if isinstance(value, dict | list):
        try:
            return _short(json.dumps(value))
        except RecursionError:
            return show_value(value)
    return value if _is_plain(value) else show_value(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= SHOWN and is_storable(value)
    if isinstance(value, int):
        return abs(value) <= MAX_COUNTER
    return value is None or math.isfinite(value)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
