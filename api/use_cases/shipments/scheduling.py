"""Pure: whether the planned times of a shipment come one after the other, as times on a journey do."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from api.refusals import Invalid

TIMES: Final = frozenset({"planned_departure", "planned_arrival", "legs"})
"""The columns of a shipment that `check_order` looks at."""


def check_order(schedule: Mapping[str, Any]) -> None:
    """Refuse a schedule in which something is planned to arrive before it departs.

    Compared are the two times of the whole shipment, those of each leg, and those of each leg with the leg before it.
    Times that are not planned are passed over. Legs are as they are stored.
    """
    departure, arrival = schedule["planned_departure"], schedule["planned_arrival"]
    if departure is not None and arrival is not None and arrival < departure:
        raise Invalid("planned_arrival", "is before planned_departure: a shipment arrives after it departs")
    legs: Sequence[Mapping[str, Any]] = schedule["legs"]
    times = [tuple(_instant(leg[f"planned_{end}"]) for end in ("departure", "arrival")) for leg in legs]
    for position, (departs, arrives) in enumerate(times):
        if departs is not None and arrives is not None and arrives < departs:
            raise Invalid(f"legs[{position}].planned_arrival", "is before the leg's planned_departure")
    for position, ((_, arrives), (departs, _)) in enumerate(pairwise(times), 1):
        if arrives is not None and departs is not None and departs < arrives:
            raise Invalid(
                f"legs[{position}].planned_departure",
                "is before the leg before it arrives: give the legs in the order in which they are travelled",
            )


def _instant(stored: str | None) -> datetime | None:
    return None if stored is None else datetime.fromisoformat(stored)
