"""A small share of `make bench-detection`: the rules over simulated shipments of all scenarios, in order of arrival.

Bounds are safe for so few shipments; the figures themselves are in docs/detection.md.
"""

import pytest

from alerts.model import AlertKind
from bench.judgement import Judged
from bench.quality import chunks, judge, result

SHIPMENTS = 60
pytestmark = pytest.mark.timeout(600)  # the first test waits for all of them


@pytest.fixture(scope="module")
def every() -> list[Judged]:
    return [one for chunk in chunks("everything", SHIPMENTS, 900_000) for one in judge(chunk)]


def test_excursions_are_those_of_the_truth_to_the_reading(every):
    assert sum(one.excursions for one in every) >= 3
    assert [one.story for one in every if one.missed or one.invented] == []


def test_losses_are_foretold_unless_nobody_could_hear_the_logger(every):
    lost = [one for one in every if one.lost and not one.unheard]
    assert lost
    assert sum(one.foretold for one in lost) >= 0.8 * len(lost)


def test_forecasts_seldom_cry_wolf(every):
    assert sum(bool(one.false) for one in every) <= 4


def test_intervals_cover_what_comes(every):
    within, earlier, later = (sum(counts) for counts in zip(*(one.hold_times for one in every), strict=True))
    assert within >= 0.8 * (within + earlier + later)


def test_faults_of_probes_are_told(every):
    faults = [fault for one in every for fault in one.faults]
    assert faults
    assert sum(fault.told_after is None for fault in faults) <= 0.1 * len(faults)
    assert sum(one.neither for one in every) == 0


def test_the_figures_stand_beside_their_targets(every):
    found = result(every, every)
    assert len(found.verdicts) == 12
    assert any(str(AlertKind.EXCURSION) in measure.what for measure in found.measures)
    assert found.to_json()["verdicts"][0]["met"] is True
