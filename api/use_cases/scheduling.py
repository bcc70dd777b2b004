"""Pure: whether the planned times of a shipment come one after the other, as times on a journey do."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from api.http.problems import invalid

TIMES: Final = frozenset({"planned_departure", "planned_arrival", "legs"})
"""What of a shipment is looked at."""


def check_order(schedule: Mapping[str, Any]) -> None:
    """Raise Problem 422, which names the field, where something is planned to arrive before it departs.

    Looked at are the shipment as a whole, each leg, and each leg beside the one before it; what is not planned is passed
    over. Legs are as they are stored.
    """
    departure, arrival = schedule["planned_departure"], schedule["planned_arrival"]
    if departure is not None and arrival is not None and arrival < departure:
        raise invalid("planned_arrival", "is before planned_departure: a shipment arrives after it departs")
    legs: Sequence[Mapping[str, Any]] = schedule["legs"]
    times = [tuple(_instant(leg[f"planned_{end}"]) for end in ("departure", "arrival")) for leg in legs]
    for position, (departs, arrives) in enumerate(times):
        if departs is not None and arrives is not None and arrives < departs:
            raise invalid(f"legs[{position}].planned_arrival", "is before the leg's planned_departure")
    for position, ((_, arrives), (departs, _)) in enumerate(pairwise(times), 1):
        if arrives is not None and departs is not None and departs < arrives:
            raise invalid(
                f"legs[{position}].planned_departure",
                "is before the leg before it arrives: give the legs in the order in which they are travelled",
            )


def _instant(stored: str | None) -> datetime | None:
    return None if stored is None else datetime.fromisoformat(stored)
