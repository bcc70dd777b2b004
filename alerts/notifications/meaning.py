"""Pure: what each kind of alert is called, and what it means for the product."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from alerts.model import AlertKind

_K = AlertKind


class Meaning(NamedTuple):
    """What a kind of alert says to people who have never seen the rule behind it."""

    title: str
    """What happened, short enough for a subject."""
    means: str


MEANINGS: Final[Mapping[AlertKind, Meaning]] = {
    _K.EVALUATION_FAILED: Meaning(
        "The record is not judged",
        "The service itself has a fault. Excursions of this shipment may go unnoticed until it is repaired.",
    ),
    _K.LOW_BATTERY: Meaning(
        "Logger's battery is low",
        "The product is not affected. When the logger goes out, nobody knows how cold it is any more.",
    ),
    _K.CLOCK_SKEW: Meaning(
        "Logger's clock is wrong",
        "The temperatures are right, the times beside them may not be. The record may not be enough to release on.",
    ),
    _K.SIGNAL_LOST: Meaning(
        "No signal from the logger",
        "Nobody knows how cold the product is now. The logger may go on recording, and send it all later.",
    ),
    _K.LOGGER_MEMORY_GAP: Meaning(
        "Readings are missing",
        "The record has a hole. What happened in it is not known, and quality will have to decide about it.",
    ),
    _K.SHOCK: Meaning(
        "The shipper took a blow",
        "Its vacuum or its contents may be damaged. The temperature can be right for hours before it shows.",
    ),
    _K.TILTED: Meaning(
        "The shipper is not upright",
        "Lying down it loses nitrogen several times as fast: it will stay cold for a shorter time than planned.",
    ),
    _K.LID_OPEN: Meaning(
        "The shipper's lid is open",
        "It loses coolant fast, and warm air reaches the product.",
    ),
    _K.PROBE_FAULT: Meaning(
        "The temperature probe is faulty",
        "What it shows cannot be trusted. Nobody knows how cold the product is.",
    ),
    _K.OFF_ROUTE: Meaning(
        "The shipment is off its route",
        "It may be on its way to the wrong place, and it may arrive late.",
    ),
    _K.LATE: Meaning(
        "The shipment is late",
        "A connection or the appointment at the destination may be missed.",
    ),
    _K.USE_BY_AT_RISK: Meaning(
        "It may arrive too late to be used",
        "The product must be used by a certain time, and at this pace it does not get there before.",
    ),
    _K.SITE_NOT_READY: Meaning(
        "The destination is not ready for it",
        "Nobody may be there to receive it, or there is no place cold enough to store it.",
    ),
    _K.HOLD_TIME_SHORT: Meaning(
        "The coolant does not last until arrival",
        "If nothing is done the product warms up on the way. It is still cold now.",
    ),
    _K.EXCURSION_PREDICTED: Meaning(
        "A limit is about to be left",
        "The product is still within its limits. Going on like this it will leave them soon.",
    ),
    _K.EXCURSION: Meaning(
        "Temperature excursion",
        "The product is, or was, outside the temperatures that it was made for. It may be harmed.",
    ),
    _K.BUDGET_EXHAUSTED: Meaning(
        "Stability budget used up",
        "The product was outside its limits for longer than it may be. Presume that it cannot be used.",
    ),
}
"""From what is furthest from the product to what is nearest; of several alerts the last counts for what it means."""

SILENT_FLEET: Final = Meaning(
    "Much of the fleet is silent",
    "More likely what carries the readings is down than all these loggers: a network, a provider, the broker. "
    "Until it is back, nobody knows how cold these products are.",
)

RANK: Final = {kind: place for place, kind in enumerate(MEANINGS)}
