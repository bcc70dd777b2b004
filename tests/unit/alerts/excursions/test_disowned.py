"""What a sensor says that has measured nothing is in no figure, and counted; all else is judged."""

import numpy as np
import pytest

from alerts.excursions.disowned import are_disowned, disowned_values
from alerts.excursions.fold import evaluate
from alerts.excursions.plan import Plan, make_plan
from alerts.model import SECOND, Sample, Window

MINUTE = 60 * SECOND


def plan(band: str, **fields: float | None) -> Plan:
    made = make_plan(band, fields)
    assert isinstance(made, Plan)
    return made


@pytest.mark.parametrize(
    ("of", "disowned"),
    [
        (plan("refrigerated"), {85, -127}),
        (plan("room"), {85, -127}),
        (plan("ultra_low"), {85, -127}),
        (plan("ultra_low", lower_c=None), {85}),  # who knows what keeps it cold
        (plan("cryogenic"), {85}),
        (plan("custom", lower_c=60, upper_c=80), {-127}),
        (plan("custom", lower_c=2), {85, -127}),
    ],
)
def test_what_is_disowned_goes_by_what_the_payload_is_kept_in(of: Plan, disowned: set[float]) -> None:
    assert disowned_values(of) == disowned
    column = np.array([85.0, -127.0, 84.9, 85.1, -126.9, -127.1, 4.0, np.nan])
    assert set(column[are_disowned(of, column)].tolist()) == disowned


@pytest.mark.parametrize("absurd_c", [85.0, -127.0])
def test_a_value_of_a_sensor_that_was_reset_changes_no_figure_but_one(absurd_c: float) -> None:
    of, window = plan("refrigerated"), Window(departed_at=0)
    celsius = [4.0, 4.1, absurd_c, 4.2, 9.0, absurd_c, 9.5, 4.0]
    samples = [Sample(number * 5 * MINUTE, c) for number, c in enumerate(celsius)]
    found = evaluate(of, window, samples, 36 * MINUTE)
    without = evaluate(of, window, [one for one in samples if one.temperature_c != absurd_c], 36 * MINUTE)
    assert found.excursions == without.excursions
    assert [(run.peak_c, run.end) for run in found.excursions] == [(9.5, 35 * MINUTE)]
    figures = found.figures
    assert (figures.readings, figures.disowned) == (8, 2)
    assert (figures.min_c, figures.max_c, figures.mean_c, figures.mkt_c) == (
        without.figures.min_c,
        without.figures.max_c,
        without.figures.mean_c,
        without.figures.mkt_c,
    )
    assert (figures.in_range, figures.out_of_range) == (
        without.figures.in_range,
        without.figures.out_of_range,
    )


@pytest.mark.parametrize(
    ("band", "celsius"),
    [
        ("refrigerated", -78.5),
        ("refrigerated", 84.9),
        ("refrigerated", 100.0),
        ("refrigerated", -190.0),
        ("cryogenic", -127.0),
    ],
)
def test_what_can_happen_to_a_payload_is_judged(band: str, celsius: float) -> None:
    found = evaluate(plan(band), Window(departed_at=0), [Sample(0, celsius)], MINUTE)
    assert [run.severity for run in found.excursions] == ["critical"]
    assert found.figures.disowned == 0
