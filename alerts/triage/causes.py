"""Pure: what leads to what, from handling and route to the product, and what to do about each."""

from collections.abc import Mapping
from typing import Final

from alerts.model import SECOND, AlertKind, Duration

_HOUR: Final[Duration] = 3600 * SECOND
_K = AlertKind

_COOLANT_LOST: Final[dict[AlertKind, Duration]] = {
    _K.HOLD_TIME_SHORT: 12 * _HOUR,
    _K.EXCURSION_PREDICTED: 24 * _HOUR,
    _K.EXCURSION: 24 * _HOUR,
    _K.BUDGET_EXHAUSTED: 24 * _HOUR,
}
"""Coolant that was spilt or boiled off is missed only at the end of the hold time."""

_LATER: Final[dict[AlertKind, Duration]] = {
    _K.USE_BY_AT_RISK: 2 * _HOUR,
    _K.SITE_NOT_READY: 2 * _HOUR,
    _K.HOLD_TIME_SHORT: 2 * _HOUR,
    _K.EXCURSION_PREDICTED: 2 * _HOUR,
}

LEADS_TO: Final[Mapping[AlertKind, Mapping[AlertKind, Duration]]] = {
    _K.SHOCK: {_K.TILTED: _HOUR, _K.LID_OPEN: _HOUR, _K.PROBE_FAULT: _HOUR} | _COOLANT_LOST,
    _K.TILTED: _COOLANT_LOST,
    _K.LID_OPEN: _COOLANT_LOST,
    _K.OFF_ROUTE: {_K.LATE: 2 * _HOUR} | _LATER,
    _K.LATE: _LATER,
    _K.USE_BY_AT_RISK: {_K.SITE_NOT_READY: _HOUR},
    _K.HOLD_TIME_SHORT: {
        _K.EXCURSION_PREDICTED: 6 * _HOUR,
        _K.EXCURSION: 6 * _HOUR,
        _K.BUDGET_EXHAUSTED: 6 * _HOUR,
    },
    _K.PROBE_FAULT: {_K.EXCURSION_PREDICTED: _HOUR, _K.EXCURSION: _HOUR},
    _K.EXCURSION_PREDICTED: {_K.EXCURSION: 6 * _HOUR, _K.BUDGET_EXHAUSTED: 6 * _HOUR},
    _K.EXCURSION: {_K.BUDGET_EXHAUSTED: _HOUR},
    _K.LOW_BATTERY: {_K.SIGNAL_LOST: 6 * _HOUR, _K.LOGGER_MEMORY_GAP: 6 * _HOUR, _K.CLOCK_SKEW: 6 * _HOUR},
    _K.CLOCK_SKEW: {_K.SIGNAL_LOST: 2 * _HOUR, _K.LOGGER_MEMORY_GAP: 2 * _HOUR},
    _K.SIGNAL_LOST: {_K.LOGGER_MEMORY_GAP: 2 * _HOUR},
}
"""By cause and effect: so long after the end of the cause the effect can begin and still be of it."""

OF_THE_LOGGER: Final = frozenset({_K.LOW_BATTERY, _K.CLOCK_SKEW, _K.PROBE_FAULT, _K.LOGGER_MEMORY_GAP})
"""What is about one logger has to do only with what that same logger shows."""

UPSTREAM: Final[Mapping[AlertKind, int]] = {
    kind: place
    for place, kind in enumerate(
        (
            *(_K.EVALUATION_FAILED, _K.LOW_BATTERY, _K.CLOCK_SKEW, _K.SIGNAL_LOST, _K.LOGGER_MEMORY_GAP),
            *(_K.SHOCK, _K.TILTED, _K.LID_OPEN, _K.PROBE_FAULT, _K.OFF_ROUTE, _K.LATE),
            *(_K.USE_BY_AT_RISK, _K.SITE_NOT_READY, _K.HOLD_TIME_SHORT),
            *(_K.EXCURSION_PREDICTED, _K.EXCURSION, _K.BUDGET_EXHAUSTED),
        )
    )
}
"""The place of each kind on the way from causes to the product: whatever leads to another comes before it."""

NEXT_ACTION: Final[Mapping[AlertKind, str]] = {
    _K.EXCURSION: "Move the product into a qualified shipper or store now, and hold it for quality to decide on.",
    _K.BUDGET_EXHAUSTED: "Hold the product: quality has to decide whether it may still be used.",
    _K.EXCURSION_PREDICTED: "Recharge the shipper, or move the product, before the time that is given.",
    _K.HOLD_TIME_SHORT: "Have it recharged on the way, or shorten the way: the coolant does not last until arrival.",
    _K.TILTED: "Ask whoever holds the shipper to stand it upright, and to check the coolant.",
    _K.SHOCK: "Have the shipper inspected for damage, and watch how fast the coolant goes.",
    _K.LID_OPEN: "Ask whoever holds the shipper to close the lid.",
    _K.PROBE_FAULT: "Have the probe or the logger replaced: until then nobody knows how cold the product is.",
    _K.SIGNAL_LOST: "Ask whoever holds the shipper where it is, and whether the logger shows a sign of life.",
    _K.LOW_BATTERY: "Have the logger's battery charged or replaced.",
    _K.CLOCK_SKEW: "Have the logger's clock set: what it says happened when cannot be trusted.",
    _K.LOGGER_MEMORY_GAP: "Have the logger read out before it overwrites what is missing.",
    _K.OFF_ROUTE: "Ask the carrier where the shipment is going.",
    _K.LATE: "Tell the destination, and rebook what cannot be reached any more.",
    _K.USE_BY_AT_RISK: "Speed it up, or tell the treatment centre that it may come too late.",
    _K.SITE_NOT_READY: "Make sure with the destination that somebody receives and stores it on arrival.",
    _K.EVALUATION_FAILED: "Look at the log of the service: what this shipment does is not judged.",
}
