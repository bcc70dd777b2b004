"""How the record follows late data: a case for each sentence of the amendments, times as plain numbers."""

from dataclasses import replace
from itertools import count

import pytest

from alerts.excursions.reconcile import reconcile, unsettled
from alerts.model import (
    LIVE,
    ChangeKind,
    EndedBy,
    Excursion,
    ExcursionState,
    Reason,
    Run,
    Severity,
    Side,
)

OPENED, WORSENED, CLOSED, AMENDED, WITHDRAWN, SUPERSEDED = ChangeKind
NOW = 1000


def run(start, end=None, **overrides):
    ended_by = None if end is None else EndedBy.RECOVERY
    plain = Run(
        side=Side.HIGH,
        start=start,
        end=end,
        ended_by=ended_by,
        peak_c=9.0,
        severity=Severity.MAJOR,
        has_gap=False,
    )
    return replace(plain, **overrides)


def low(start, end=None):
    return run(start, end, side=Side.LOW, peak_c=1.0)


def stored(id_, reported, opened_at=0, revision=1):
    state = ExcursionState.OPEN if reported.end is None else ExcursionState.CLOSED
    return Excursion(id=id_, opened_at=opened_at, revision=revision, state=state, run=reported)


def changes(record, runs, **options):
    ids = (f"new{i}" for i in count())
    return reconcile(record, runs, now=NOW, new_id=ids.__next__, **options)


CASES = [
    # name, on record as (id, run[, opened_at]), runs that hold, changes as (kind, id)
    ("nothing at all", [], [], []),
    ("as it was told", [("a", run(0, 10)), ("b", run(20))], [run(0, 10), run(20)], []),
    ("a new run opens an excursion", [], [run(0)], [(OPENED, "new0")]),
    ("opened when it was already over", [], [run(0, 10)], [(OPENED, "new0")]),
    ("a reversal closes one and opens one", [("a", run(0))], [run(0, 10, ended_by=EndedBy.REVERSAL), low(10)],
     [(CLOSED, "a"), (OPENED, "new0")]),
    # One that overlaps a run keeps its identity.
    ("a start moves back", [("a", run(5, 10))], [run(3, 10)], [(AMENDED, "a")]),
    ("a start moves on", [("a", run(5, 10))], [run(7, 10)], [(AMENDED, "a")]),
    ("an end moves", [("a", run(5, 10))], [run(5, 8)], [(AMENDED, "a")]),
    # An open end is infinite.
    ("an open one overlaps all that is later", [("a", run(5))], [run(50, 60)], [(AMENDED, "a")]),
    ("an open run overlaps all that is later", [("a", run(50, 60))], [run(5)], [(AMENDED, "a")]),
    # Intervals are half open: to touch is not to overlap.
    ("a run that ends where one began", [("a", run(10, 20))], [run(5, 10)], [(WITHDRAWN, "a"), (OPENED, "new0")]),
    ("a run that begins where one ended", [("a", run(10, 20))], [run(20, 25)], [(WITHDRAWN, "a"), (OPENED, "new0")]),
    # Only the same side.
    ("the other side is another excursion", [("a", run(0, 10))], [low(0, 10)], [(WITHDRAWN, "a"), (OPENED, "new0")]),
    ("both sides", [("a", run(0, 10)), ("b", low(10))], [run(0, 10), low(10, 20)], [(CLOSED, "b")]),
    # Of several on one run the earliest opened keeps it and the others are superseded.
    ("merged", [("a", run(0, 10), 2), ("b", run(20, 30), 1)], [run(0, 30)], [(SUPERSEDED, "a"), (AMENDED, "b")]),
    ("merged, opened at once", [("b", run(0, 10)), ("a", run(20, 30))], [run(0, 30)],
     [(SUPERSEDED, "b"), (AMENDED, "a")]),
    ("three merged", [("a", run(0, 1), 5), ("b", run(2, 3), 4), ("c", run(4, 5), 6)], [run(0, 9)],
     [(SUPERSEDED, "a"), (SUPERSEDED, "c"), (AMENDED, "b")]),
    # Of several runs on one excursion the first run keeps it.
    ("split", [("a", run(0, 30))], [run(0, 10), run(20, 30)], [(AMENDED, "a"), (OPENED, "new0")]),
    ("split while open", [("a", run(0))], [run(0, 10), run(20)], [(CLOSED, "a"), (OPENED, "new0")]),
    # Each run takes one, in order of time; what is left over of an overlap is merged, not withdrawn.
    ("across", [("a", run(0, 30), 1), ("b", run(40, 60), 2)], [run(0, 10), run(20, 50)],
     [(AMENDED, "a"), (AMENDED, "b")]),
    ("merged and split", [("a", run(0, 30), 2), ("b", run(5, 8), 1), ("c", run(25, 35), 3)],
     [run(0, 10), run(20, 40)], [(SUPERSEDED, "c"), (AMENDED, "b"), (AMENDED, "a")]),
    # One that no run supports any more is withdrawn.
    ("no run any more", [("a", run(0, 10))], [], [(WITHDRAWN, "a")]),
    ("recovered in time", [("a", run(0))], [], [(WITHDRAWN, "a")]),
    ("another run elsewhere", [("a", run(0, 10))], [run(50, 60)], [(WITHDRAWN, "a"), (OPENED, "new0")]),
]  # fmt: skip


@pytest.mark.parametrize(("record", "runs", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_becomes_of_the_record(record, runs, expected):
    excursions = [stored(*entry) for entry in record]
    found = changes(excursions, runs)
    assert [(change.kind, change.after.id) for change in found] == expected
    assert [c.after.revision for c in found] == [
        1 if c.before is None else c.before.revision + 1 for c in found
    ]
    # Whatever had to change, what is live then is what holds.
    record_now = {e.id: e for e in excursions} | {c.after.id: c.after for c in found}
    live = [e.run for e in record_now.values() if e.state in LIVE]
    assert sorted(live, key=lambda r: r.start) == runs


DEVELOPMENTS = [
    # name, told, holds now, kind, reason, fields
    # What a run naturally comes to:
    ("further out", run(0), run(0, peak_c=12.0), WORSENED, Reason.PEAK_MOVED, ("peak_c",)),
    ("critical", run(0), run(0, peak_c=30.0, severity=Severity.CRITICAL), WORSENED, Reason.BECAME_CRITICAL,
     ("peak_c", "severity")),
    ("a gap", run(0), run(0, has_gap=True), WORSENED, Reason.GAP_IN_READINGS, ("has_gap",)),
    ("a gap, and further out", run(0), run(0, peak_c=12.0, has_gap=True), WORSENED, Reason.GAP_IN_READINGS,
     ("peak_c", "has_gap")),
    ("recovered", run(0), run(0, 9), CLOSED, Reason.RECOVERED, ("end", "ended_by")),
    ("reversed", run(0), run(0, 9, ended_by=EndedBy.REVERSAL), CLOSED, Reason.REVERSED, ("end", "ended_by")),
    ("delivered", run(0), run(0, 9, ended_by=EndedBy.DELIVERY, has_gap=True), CLOSED, Reason.DELIVERED,
     ("end", "ended_by", "has_gap")),
    ("out and in at once", run(0), run(0, 9, peak_c=12.0), CLOSED, Reason.RECOVERED, ("end", "ended_by", "peak_c")),
    ("a low run further out", low(0), replace(low(0), peak_c=0.5), WORSENED, Reason.PEAK_MOVED, ("peak_c",)),
    # Corrections of what was already told:
    ("another start", run(5), run(3), AMENDED, Reason.LATE_DATA, ("start",)),
    ("another start, and over", run(5), run(3, 9), AMENDED, Reason.LATE_DATA, ("start", "end", "ended_by")),
    ("another end", run(0, 9), run(0, 7), AMENDED, Reason.LATE_DATA, ("end",)),
    ("open again", run(0, 9), run(0), AMENDED, Reason.LATE_DATA, ("end", "ended_by")),
    ("another peak, long closed", run(0, 9), run(0, 9, peak_c=12.0), AMENDED, Reason.LATE_DATA, ("peak_c",)),
    ("less far out", run(0, peak_c=12.0), run(0), AMENDED, Reason.LATE_DATA, ("peak_c",)),
    ("a low run less far out", replace(low(0), peak_c=0.5), low(0), AMENDED, Reason.LATE_DATA, ("peak_c",)),
    ("no gap after all", run(0, has_gap=True), run(0), AMENDED, Reason.LATE_DATA, ("has_gap",)),
    ("not critical after all", run(0, severity=Severity.CRITICAL), run(0), AMENDED, Reason.LATE_DATA, ("severity",)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reported", "holds", "kind", "reason", "fields"),
    [c[1:] for c in DEVELOPMENTS],
    ids=[c[0] for c in DEVELOPMENTS],
)
def test_a_development_is_told_apart_from_a_correction(reported, holds, kind, reason, fields):
    before = stored("a", reported, revision=7)
    (change,) = changes([before], [holds])
    assert (change.kind, change.reason, change.fields) == (kind, reason, fields)
    state = ExcursionState.OPEN if holds.end is None else ExcursionState.CLOSED
    assert (change.before, change.after) == (before, replace(before, revision=8, state=state, run=holds))


def test_a_new_record_says_when_it_was_made():
    (change,) = changes([], [run(5, 10)])
    closed = ExcursionState.CLOSED
    assert change.after == Excursion(id="new0", opened_at=NOW, revision=1, state=closed, run=run(5, 10))
    assert (change.before, change.reason) == (None, Reason.LIMIT_EXCEEDED)


def test_the_superseded_name_their_heir():
    gone, _ = changes([stored("a", run(0, 10)), stored("b", run(20, 30))], [run(0, 30)])
    assert (gone.after.state, gone.after.superseded_by) == (ExcursionState.SUPERSEDED, "a")
    assert (gone.after.run, gone.reason) == (run(20, 30), Reason.MERGED)


def test_corrections_and_withdrawals_say_what_caused_them():
    record = [stored("a", run(0, 10)), stored("b", run(20, 30))]
    found = changes(record, [run(0, 12)], cause=Reason.PLAN_CHANGED)
    assert [(c.kind, c.reason) for c in found] == [
        (WITHDRAWN, Reason.PLAN_CHANGED),
        (AMENDED, Reason.PLAN_CHANGED),
    ]


def test_what_is_no_longer_live_is_not_reconciled():
    dead = replace(stored("a", run(0, 10)), state=ExcursionState.WITHDRAWN)
    with pytest.raises(ValueError, match="no longer"):
        changes([dead], [])


def test_unsettled_are_those_that_no_reading_so_far_has_ended():
    open_, delivered = stored("a", run(0)), stored("b", run(0, 9, ended_by=EndedBy.DELIVERY))
    before, later = stored("c", run(0, 7)), stored("d", run(0, 8, ended_by=EndedBy.REVERSAL))
    assert unsettled([open_, before, later, delivered], 7) == [open_, later, delivered]
    assert unsettled([before], None) == [before]


def test_thousands_of_excursions_are_reconciled_at_once():
    runs = [run(10 * i, 10 * i + 5) for i in range(20_000)]
    record = [stored(f"{i:06}", replace(r, start=r.start + 1)) for i, r in enumerate(runs)]
    assert {change.kind for change in changes(record, runs)} == {AMENDED}
