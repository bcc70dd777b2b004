"""The words people read."""

from datetime import UTC, datetime

import pytest

from alerts import wording
from alerts.excursions.plan import make_plan
from alerts.model import SECOND, Run, Severity, Side
from alerts.triage.conditions import excursion_message


@pytest.mark.parametrize(
    ("celsius", "text"),
    [(-150, "−150 °C"), (-128.06, "−128.1 °C"), (8.0, "8 °C"), (-0.04, "0 °C"), (0, "0 °C"), (100, "100 °C")],
)
def test_temperatures(celsius, text):
    assert wording.temperature(celsius) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (61, "1 min 01 s"),
        (300, "5 min"),
        (3600, "1 h"),
        (3 * 3600 + 300, "3 h 05 min"),
        (86_400, "1 d"),
        (90_000, "1 d 01 h"),
        (59 * 60 + 59.6, "1 h"),
    ],
)
def test_durations(seconds, text):
    assert wording.duration(round(seconds * SECOND)) == text


def test_times_are_in_utc_and_say_so():
    assert wording.time(datetime(2026, 11, 21, 3, 45, tzinfo=UTC)) == "2026-11-21 03:45 UTC"


@pytest.mark.parametrize(
    ("band", "side", "peak", "text"),
    [
        ("cryogenic", Side.HIGH, -149, "Payload above −150 °C, peak −149 °C"),
        ("cryogenic", Side.HIGH, -130, "Payload above −150 °C, peak −130 °C, beyond the critical −135 °C"),
        ("controlled", Side.LOW, -1.5, "Payload below 2 °C, peak −1.5 °C, beyond the critical 0 °C"),
    ],
)
def test_excursions(band, side, peak, text):
    plan = make_plan(band, {})
    run = Run(
        side=side,
        start=0,
        end=None,
        ended_by=None,
        peak_c=peak,
        severity=plan.severity(side, peak),
        has_gap=False,
    )
    assert excursion_message(plan, run) == text
    assert (run.severity is Severity.CRITICAL) == ("critical" in text)


@pytest.mark.parametrize(
    ("owner", "text"),
    [
        ("Kim Lee", "Kim Lee"),
        ("user:Kim Lee", "Kim Lee"),
        ("key:dw_1f0c93ab", "key dw_1f0c93ab"),
        ("key:", "key:"),
        ("Kim: at the desk", "Kim: at the desk"),
    ],
)
def test_an_owner_is_a_name_or_a_key(owner, text):
    assert wording.person(owner) == text
