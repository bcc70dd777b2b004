"""What speaks against a charge: each doubt by a course that shows it, and by the nearest that does not."""

import pytest

from alerts.model import SECOND
from alerts.rules.blocks.charge_doubts import Doubt, Seen, Told, doubts

MINUTE = 60 * SECOND


def masses(before: float, after: float) -> list[Seen]:
    return [
        Seen(at=minutes * MINUTE, temperature_c=-190, ln2_kg=before if minutes < 0 else after)
        for minutes in range(-100, 101, 10)
    ]


def warmth(before: float, after: float) -> list[Seen]:
    return [
        Seen(at=minutes * MINUTE, temperature_c=before if minutes < 0 else after)
        for minutes in range(-100, 101, 10)
    ]


def told(ln2_kg: float | None = None, capacity: float | None = 4, warm_c: float | None = -150) -> Told:
    return Told(ln2_kg=ln2_kg, ln2_capacity_kg=capacity, warm_c=warm_c)


FLIGHT = [Seen(at=-300 * MINUTE, temperature_c=-190, flight_mode_until=60 * MINUTE)]
LANDED = [*FLIGHT, Seen(at=-30 * MINUTE, temperature_c=-190)]
CASES: dict[str, tuple[Told, list[Seen], list[Doubt]]] = {
    "filled": (told(), masses(1, 3.9), []),
    "filled, as told": (told(3.9), masses(1, 3.9), []),
    "topped up": (told(), masses(3.8, 3.8), []),
    "nothing measured": (told(3.9), [], []),
    "no mass gained": (told(), masses(1, 0.99), [Doubt.NO_MASS_GAINED]),
    "no mass gained, as told": (told(3.5), masses(1, 0.99), [Doubt.NO_MASS_GAINED]),
    "nobody knows how much": (told(None, None), masses(1, 0.99), []),
    "less than before": (told(2), masses(3, 3), [Doubt.LESS_THAN_BEFORE]),
    "about as much as before": (told(2.9), masses(3, 3), []),
    "still warm": (told(), warmth(-120, -120), [Doubt.STILL_WARM]),
    "it cools": (told(), warmth(-120, -130), []),
    "it was cold": (told(), warmth(-190, -185), []),
    "no limit": (told(warm_c=None), warmth(-120, -120), []),
    "in flight": (told(), FLIGHT, [Doubt.IN_FLIGHT]),
    "landed": (told(), LANDED, []),
    "both": (told(3.9), masses(1, 1) + FLIGHT, [Doubt.NO_MASS_GAINED]),
}


@pytest.mark.parametrize(("charge", "trace", "expected"), CASES.values(), ids=CASES)
def test_each_doubt(charge: Told, trace: list[Seen], expected: list[Doubt]) -> None:
    assert list(doubts(charge, [trace])) == expected


def test_one_logger_is_enough_and_readings_far_off_or_close_do_not_count() -> None:
    assert doubts(told(), [masses(1, 3.9), masses(1, 1)]) == (Doubt.NO_MASS_GAINED,)
    close = [Seen(at=minutes * MINUTE, ln2_kg=1) for minutes in (-10, 10)]
    far = [Seen(at=minutes * MINUTE, ln2_kg=1) for minutes in (-130, 130)]
    assert doubts(told(), [close]) == doubts(told(), [far]) == ()
