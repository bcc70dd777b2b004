"""Pure: whether a handover fits into the chain of those who have held a shipment, one after the other.

A link fits where it lies between the beginning and the end of the journey, gives the shipment from whoever holds it
then, and leaves whoever gives it next with it. A handover may be told late, and so be put between two others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias

TOLERANCE: Final = timedelta(minutes=2)
"""So far the clocks of those who tell may differ from ours, and from each other."""

Names: TypeAlias = frozenset[str]
"""The names of one party, as `alerts.escalation.people.folded` compares them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One handover."""

    at: datetime
    recorded_at: datetime
    """The order of two at one instant."""
    from_party: str
    to_party: str
    to_contact: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """The times between which a shipment goes from hand to hand, and who has it at first."""

    begins: datetime
    """The earliest of planning, pack-out and departure."""
    ends: datetime | None
    """The delivery; None until then."""
    first: str | None
    """Where it starts, in words; None: nobody knows."""
    first_names: Names


class Misfit(StrEnum):
    """Why a handover does not fit."""

    AHEAD = "ahead"
    BEFORE_THE_JOURNEY = "before_the_journey"
    AFTER_DELIVERY = "after_delivery"
    FIRST_HOLDER_UNKNOWN = "first_holder_unknown"
    NOT_THE_HOLDER = "not_the_holder"
    NEXT_DOES_NOT_FIT = "next_does_not_fit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """What is wrong with a handover."""

    why: Misfit
    holder: str | None = None
    """Who holds the shipment then, as far as that is known."""
    next: Link | None = None
    """The handover that would not fit any more."""


def holder_at(chain: Sequence[Link], at: datetime) -> Link | None:
    """Return the handover after which the shipment is held as it is at an instant; None: it is where it started."""
    return max((link for link in chain if link.at <= at), key=_order, default=None)


def next_after(chain: Sequence[Link], at: datetime) -> Link | None:
    """Return the first handover after an instant."""
    return min((link for link in chain if link.at > at), key=_order, default=None)


def misfit(
    journey: Journey,
    chain: Sequence[Link],
    new: Link,
    now: datetime,
    names_of: Callable[[Link], Names],
    fold: Callable[[str], str],
) -> Broken | None:
    """Return why a new handover does not fit; None if it does. `names_of` gives the names of who took a shipment over."""
    if (wrong := _wrong_time(journey, new.at, now)) is not None:
        return Broken(why=wrong)
    before = holder_at(chain, new.at)
    if before is None and journey.first is None:
        return Broken(why=Misfit.FIRST_HOLDER_UNKNOWN)
    if fold(new.from_party) not in _holders(journey, before, names_of):
        return Broken(why=Misfit.NOT_THE_HOLDER, holder=_holder(journey, before))
    after = next_after(chain, new.at)
    if after is not None:
        fitted = fold(after.from_party) in _holders(journey, before, names_of)
        if fitted and fold(after.from_party) not in names_of(new):
            return Broken(why=Misfit.NEXT_DOES_NOT_FIT, holder=_holder(journey, before), next=after)
    return None


def _wrong_time(journey: Journey, at: datetime, now: datetime) -> Misfit | None:
    if at > now + TOLERANCE:
        return Misfit.AHEAD
    if at < journey.begins:
        return Misfit.BEFORE_THE_JOURNEY
    if journey.ends is not None and at > journey.ends + TOLERANCE:
        return Misfit.AFTER_DELIVERY
    return None


def _holders(journey: Journey, link: Link | None, names_of: Callable[[Link], Names]) -> Names:
    return journey.first_names if link is None else names_of(link)


def _holder(journey: Journey, link: Link | None) -> str | None:
    return journey.first if link is None else link.to_party


def _order(link: Link) -> tuple[datetime, datetime]:
    return link.at, link.recorded_at
