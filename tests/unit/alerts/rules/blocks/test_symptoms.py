"""Merged symptoms, bursts, and episodes whose dwell is measured between readings."""

import numpy as np

from alerts.model import Severity
from alerts.rules.blocks.burst import NO_BURST, Burst, BurstTiming, fold_burst
from alerts.rules.blocks.hysteresis import Levels
from alerts.rules.blocks.measured_dwell import NO_MEASURED_EPISODE, fold_measured_episode
from alerts.rules.blocks.symptoms import Symptom, merge_symptoms


def symptom(since, until=None, severity=Severity.MAJOR, message="m", **details):
    return Symptom(severity=severity, message=message, since=since, until=until, details=details)


def test_no_sign_is_nothing():
    assert merge_symptoms([], shipment_ended_at=None) is None


def test_signs_that_touch_are_one_and_as_severe_as_the_worst():
    what = merge_symptoms(
        [symptom(5, 9, a=1), symptom(1, 5, Severity.CRITICAL, "worst", b=2)], shipment_ended_at=None
    )
    assert what is not None
    assert (what.since, what.until, what.severity, what.message) == (1, 9, Severity.CRITICAL, "worst")
    assert what.details == {"a": 1, "b": 2}


def test_the_newest_of_those_apart_is_told():
    what = merge_symptoms([symptom(1, 5, Severity.CRITICAL), symptom(6, 9)], shipment_ended_at=None)
    assert what is not None
    assert (what.since, what.until, what.severity) == (6, 9, Severity.MAJOR)


def test_what_holds_goes_on_or_ends_with_the_shipment():
    symptoms = [symptom(1, 5), symptom(3), symptom(7, 9)]
    for end in (None, 20):
        what = merge_symptoms(symptoms, shipment_ended_at=end)
        assert what is not None
        assert (what.since, what.until) == (1, end)


PACE = BurstTiming(raise_at=10, keep_at=5, quiet=100)


def test_a_burst_begins_high_and_is_kept_on_by_less():
    at, values = np.array([0, 10, 20, 109, 300]), np.array([6, 10, np.nan, 5, 5])
    after = fold_burst(PACE, NO_BURST, at, values)
    assert after == Burst(since=10, last=109, peak=10.0, times=2)
    assert after.ended_at(PACE, 208) is None
    assert after.ended_at(PACE, 209) == 209


def test_a_stretch_counts_by_its_readings_and_not_by_the_silence_after_them():
    levels = Levels(raise_at=10, clear_at=5, dwell=100)
    at = np.array([0, 10, 500, 510, 600, 620, 700])
    once = fold_measured_episode(levels, NO_MEASURED_EPISODE, at, np.array([0, 20, 0, 0, 0, 0, 0.0]))
    assert once.newest(100) is None
    twice = fold_measured_episode(levels, NO_MEASURED_EPISODE, at, np.array([0, 0, 20, np.nan, 6, 30, 2.0]))
    assert twice.newest(100) == (500, 700, 30.0)
    still = fold_measured_episode(levels, NO_MEASURED_EPISODE, at[:5], np.array([0, 0, 20, np.nan, 6]))
    assert still.newest(100) == (500, None, 20.0)
