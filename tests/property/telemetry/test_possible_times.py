"""Which times can be: honest history is never refused, and what is years away from all that is known always is."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from telemetry.timekeeping.faults import CERTAIN, diagnose
from telemetry.timekeeping.possible_times import (
    AROUND,
    OLDEST,
    RECENT,
    LoggerHistory,
    is_possible,
    is_recent,
)

NOW = datetime(2026, 11, 30, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ages = st.timedeltas(timedelta(), timedelta(days=4000))


@st.composite
def histories(draw: st.DrawFn) -> LoggerHistory:
    """A logger that was registered some time ago, with shipments that may have been entered with any times in the past."""
    stretches = []
    for ago, length in draw(st.lists(st.tuples(ages, st.none() | ages), max_size=3)):
        starts_at = NOW - ago
        stretches.append((starts_at, None if length is None else min(starts_at + length, NOW)))
    return LoggerHistory(NOW - draw(ages), stretches)


instants = st.timedeltas(timedelta(), NOW - EPOCH).map(lambda ago: NOW - ago)


@given(histories(), instants)
def test_the_rule_is_what_it_says(history: LoggerHistory, at: datetime) -> None:
    on_a_shipment = any(s <= at and (e is None or at < e) for s, e in history.stretches)
    near_one = any(s - AROUND <= at and (e is None or at < e + AROUND) for s, e in history.stretches)
    may_be_entered_yet = at >= max(history.registered_at, NOW - OLDEST + RECENT) - RECENT
    possible = is_possible(at, NOW, history)
    if on_a_shipment or is_recent(at, NOW) or may_be_entered_yet:
        assert possible
    if not near_one and at < min(NOW - RECENT, max(history.registered_at - RECENT, NOW - OLDEST)):
        assert not possible


@given(histories(), instants, st.timedeltas(timedelta(), timedelta(days=4000)))
def test_what_can_be_can_be_of_a_logger_of_which_more_is_known(
    history: LoggerHistory, at: datetime, ago: timedelta
) -> None:
    if is_possible(at, NOW, history):
        more = history._replace(stretches=[*history.stretches, (NOW - ago, NOW)])
        assert is_possible(at, NOW, more)
        assert is_possible(at, NOW, history._replace(registered_at=history.registered_at - ago))


@given(histories(), instants)
def test_the_cheap_test_never_lets_through_what_cannot_be(history: LoggerHistory, at: datetime) -> None:
    if is_recent(at, NOW):
        assert is_possible(at, NOW, history)


@given(histories(), st.lists(instants, min_size=1, max_size=5))
def test_what_is_certain_is_put_where_a_reading_can_be(history: LoggerHistory, sent: list[datetime]) -> None:
    impossible = [at for at in sent if not is_possible(at, NOW, history)]
    for diagnosis in diagnose(impossible, NOW, history) if impossible else ():
        if diagnosis.fault in CERTAIN:
            assert diagnosis.true_at is not None
            assert is_possible(diagnosis.true_at, NOW, history)
            assert diagnosis.true_at <= NOW + timedelta(minutes=5)


@given(histories(), st.timedeltas(timedelta(), timedelta(days=80)))
def test_seconds_for_milliseconds_and_rollovers_of_what_is_recent_are_always_known(
    history: LoggerHistory, ago: timedelta
) -> None:
    true_at = (NOW - ago).replace(microsecond=0)
    for sent, fault in (
        (EPOCH + (true_at - EPOCH) / 1000, "seconds_for_milliseconds"),
        (true_at - timedelta(weeks=1024), "week_rollover"),
    ):
        if not is_possible(sent, NOW, history):
            assert diagnose([sent], NOW, history) == [(fault, true_at)]
