"""Which changes of an excursion are told, and when: a case each; `tests/property/test_telling.py` holds it for any course."""

from dataclasses import replace

import pytest

from alerts.excursions.telling import PeakTelling, as_told, telling_due_at, told_late
from alerts.model import (
    SECOND,
    Change,
    ChangeKind,
    EndedBy,
    Excursion,
    ExcursionState,
    LastTold,
    Reason,
    Run,
    Severity,
    Side,
)

NOW = 1_795_000_000 * SECOND
MINUTE = 60 * SECOND
PEAKS = PeakTelling()
RUN = Run(
    side=Side.HIGH, start=NOW, end=None, ended_by=None, peak_c=9.0, severity=Severity.MAJOR, has_gap=False
)
OPEN = Excursion(
    id="X", opened_at=NOW, revision=3, state=ExcursionState.OPEN, run=RUN, told=LastTold(NOW, 9.0)
)


def moved(peak_c: float, before: Excursion = OPEN) -> Change:
    after = replace(before, revision=before.revision + 1, run=replace(before.run, peak_c=peak_c))
    return Change(
        kind=ChangeKind.WORSENED, reason=Reason.PEAK_MOVED, before=before, after=after, fields=("peak_c",)
    )


@pytest.mark.parametrize(
    ("peak_c", "after_min", "is_told"),
    [
        (10.0, 60, False),  # by no more than 1 °C
        (10.1, 60, True),
        (10.1, 10, True),  # ten minutes to the instant
        (30.0, 9.99, False),  # too soon, however far
    ],
)
def test_a_moved_peak_is_told_by_growth_and_by_time(peak_c: float, after_min: float, is_told: bool) -> None:
    now = NOW + round(after_min * MINUTE)
    told = as_told(moved(peak_c), now, PEAKS)
    assert told.is_told is is_told
    assert told.after.told == (LastTold(now, peak_c) if is_told else OPEN.told)
    assert (told.after.revision, told.after.run.peak_c) == (4, peak_c), "it is on record all the same"


def test_small_steps_add_up_to_what_is_told() -> None:
    before = OPEN
    for number in range(1, 12):
        change = as_told(moved(9.0 + number / 10, before), NOW + (10 + number) * MINUTE, PEAKS)
        before = change.after
        assert change.is_told is (number == 11)


def test_what_is_held_back_is_told_when_it_is_due_though_nothing_comes() -> None:
    held = as_told(moved(12.0), NOW + MINUTE, PEAKS).after
    due_at = telling_due_at(held, NOW + MINUTE, PEAKS)
    assert due_at == NOW + 10 * MINUTE
    assert told_late(held, due_at - 1, PEAKS) is None
    late = told_late(held, due_at, PEAKS)
    assert late == replace(held, told=LastTold(due_at, 12.0)), "no change, and no revision"
    assert telling_due_at(late, due_at, PEAKS) is None


@pytest.mark.parametrize(
    "change",
    [
        replace(moved(26.0), reason=Reason.BECAME_CRITICAL, fields=("peak_c", "severity")),
        replace(moved(9.5), reason=Reason.GAP_IN_READINGS, fields=("has_gap", "peak_c")),
        replace(moved(8.5), kind=ChangeKind.AMENDED, reason=Reason.LATE_DATA),
        replace(moved(9.1), kind=ChangeKind.CLOSED, reason=Reason.RECOVERED, fields=("end", "ended_by", "peak_c")),
        Change(kind=ChangeKind.OPENED, reason=Reason.LIMIT_EXCEEDED, before=None, after=replace(OPEN, told=None)),
    ],
    ids=["critical", "a gap", "a correction", "the end, with the last peak", "the beginning"],
)  # fmt: skip
def test_whatever_else_changes_is_told_at_once_with_the_newest_peak(change: Change) -> None:
    told = as_told(change, NOW + SECOND, PEAKS)
    assert told.is_told
    assert told.after.told == LastTold(NOW + SECOND, change.after.run.peak_c)


def test_a_version_that_noted_nothing_had_told_all() -> None:
    before = replace(OPEN, told=None)
    assert telling_due_at(before, NOW, PEAKS) is None
    change = as_told(moved(20.0, before), NOW + MINUTE, PEAKS)
    assert (change.is_told, change.after.told) == (False, LastTold(NOW + MINUTE, 9.0))
    assert telling_due_at(change.after, NOW + MINUTE, PEAKS) == NOW + 11 * MINUTE


def test_what_a_clock_ahead_has_told_delays_nothing() -> None:
    ahead = replace(moved(12.0).after, told=LastTold(NOW + 86_400 * SECOND, 9.0))
    assert told_late(ahead, NOW, PEAKS) == replace(ahead, told=LastTold(NOW, 12.0))


def test_what_is_over_is_due_no_more() -> None:
    run = replace(RUN, end=NOW + MINUTE, ended_by=EndedBy.RECOVERY, peak_c=20.0)
    assert (
        telling_due_at(replace(OPEN, state=ExcursionState.CLOSED, run=run), NOW + 60 * MINUTE, PEAKS) is None
    )
