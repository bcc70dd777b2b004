"""Silence by the clock, which only an alert on record ends, and a position that is missing for too long."""

from collections.abc import Mapping

import numpy as np
import pytest

from alerts.excursions.plan import Plan, make_plan
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, Severity, Window
from alerts.rules.facts import Facts
from alerts.rules.kinds.signal_lost import (
    LONGEST_SILENCE,
    POSITION,
    SignalLost,
    SignalLostState,
    SignalLostTuning,
)
from alerts.rules.rule import LookTime

plan = make_plan("cryogenic", {"max_gap_s": 600})
assert isinstance(plan, Plan)
GAP, DEPARTED, HOUR = 600 * SECOND, 1_000_000 * SECOND, 3600 * SECOND
FACTS = Facts(plan=plan, window=Window(departed_at=DEPARTED), interval={"D1": 60 * SECOND})
SEEN = DEPARTED + 60 * SECOND
SILENT_FROM = SEEN + GAP
RULE, PLAIN = SignalLost(), SignalLostTuning()


def trace(*at: int, **channels: Mapping[int, float]) -> Trace:
    columns = {
        Channel(name): np.array([values.get(one, np.nan) for one in at]) for name, values in channels.items()
    }
    return Trace(np.array(at), np.full(len(at), -190.0), columns)


def heard(*at: int, tuning: SignalLostTuning = PLAIN, **channels: Mapping[int, float]) -> SignalLostState:
    return RULE.fold(tuning, FACTS, SignalLostState(), trace(*at, **channels))


def look(state: SignalLostState, through: int, tuning: SignalLostTuning = PLAIN):
    look_time = LookTime(through=through, watched_from=DEPARTED, device_id="D1")
    return RULE.look(tuning, FACTS, state, look_time)


LANDING = 3600 * SECOND


def test_what_was_silent_before_the_departure_was_told_is_missed_from_then_on():
    told_at = DEPARTED + 5 * HOUR
    look_time = LookTime(through=told_at, watched_from=told_at, device_id="D1")
    for state in (SignalLostState(), heard(SEEN)):
        assert RULE.look(PLAIN, FACTS, state, look_time).found is None
        assert RULE.look(PLAIN, FACTS, state, look_time).again_at == told_at + GAP
        later = LookTime(through=told_at + GAP, watched_from=told_at, device_id="D1")
        found = RULE.look(PLAIN, FACTS, state, later).found
        assert found is not None
        assert found.since == told_at + GAP


@pytest.mark.parametrize(
    ("state", "tuning", "expected"),
    [
        (SignalLostState(), PLAIN, DEPARTED + GAP),  # nothing yet: watched from the departure on
        (heard(SEEN), PLAIN, SEEN + GAP),
        (heard(SEEN, flight_mode_until={SEEN: SEEN + 5 * GAP}), PLAIN, SEEN + 5 * GAP + LANDING),  # announced
        (heard(SEEN, flight_mode_until={SEEN: SEEN}), PLAIN, SEEN + GAP),  # it has landed already
        (
            heard(SEEN, flight_mode_until={SEEN: SEEN + 1}),
            SignalLostTuning(landing_s=0),
            SEEN + GAP,
        ),  # never shortens
        (
            heard(SEEN, flight_mode_until={SEEN: SEEN + 2 * LONGEST_SILENCE}),
            PLAIN,
            SEEN + LONGEST_SILENCE + LANDING,
        ),
        # Only what the newest reading says counts.
        (heard(SEEN - 9, SEEN, flight_mode_until={SEEN - 9: SEEN + 5 * GAP}), PLAIN, SEEN + GAP),
        (heard(SEEN), SignalLostTuning(max_gap_s=1200), SEEN + 2 * GAP),
        (heard(SEEN), SignalLostTuning(intervals=3), SEEN + 180 * SECOND),
    ],
)
def test_a_logger_is_missed_from_its_instant_on_and_not_before(
    state: SignalLostState, tuning: SignalLostTuning, expected: int
) -> None:
    before = look(state, expected - 1, tuning)
    assert (before.found, before.again_at) == (None, expected)
    found = look(state, expected, tuning).found
    assert found is not None
    assert (found.severity, found.since, found.until) == (Severity.MAJOR, expected, None)


def test_a_logger_whose_interval_is_not_known_is_judged_by_the_plan() -> None:
    look_time = LookTime(through=SILENT_FROM - 1, watched_from=DEPARTED, device_id="D2")
    assert RULE.look(SignalLostTuning(intervals=3), FACTS, heard(SEEN), look_time).again_at == SILENT_FROM


def test_silence_says_since_when_and_whether_it_was_announced() -> None:
    def message(state: SignalLostState) -> str:
        found = look(state, SEEN + LONGEST_SILENCE).found
        assert found is not None
        return found.message

    assert message(SignalLostState()) == "No reading since departure"
    assert message(heard(SEEN)) == "No reading since 1970-01-12 13:47 UTC"
    assert message(heard(SEEN, flight_mode_until={SEEN: SEEN + HOUR})) == (
        "No reading since 1970-01-12 13:47 UTC; the silence it announced ended 1970-01-12 14:47 UTC"
    )


def test_silence_ends_with_the_newest_reading_and_one_that_late_data_denies_never_was() -> None:
    assert RULE.ended_at([heard(SILENT_FROM + 7)], SILENT_FROM) == SILENT_FROM + 7
    assert RULE.ended_at([heard(SILENT_FROM - 1)], SILENT_FROM) is None
    assert RULE.ended_at([SignalLostState()], SILENT_FROM) is None


def test_a_position_is_missed_where_the_logger_is_heard_without_one() -> None:
    end = SEEN + 4 * HOUR
    with_one = {"lat": {SEEN: 50.1}}
    assert POSITION not in look(heard(SEEN, end - 1, **with_one), end - 1).also_found
    found = look(heard(SEEN, end, **with_one), end).also_found[POSITION]
    assert (found.since, found.details) == (end, {"channel": "position"})
    assert found.message == "No position since 1970-01-12 13:47 UTC, though the logger is heard"
    # Where the logger itself is silent, that is what is told; and many loggers never say where they are.
    assert POSITION not in look(heard(SEEN, **with_one), end).also_found
    assert POSITION not in look(heard(SEEN, end), end).also_found
    assert (
        POSITION
        in look(
            heard(SEEN, SEEN + HOUR, **with_one), end, SignalLostTuning(position_max_gap_s=3600)
        ).also_found
    )


def test_a_position_is_not_missed_during_an_announced_flight() -> None:
    landing = SEEN + 9 * HOUR
    channels = {"lat": {SEEN: 50.1}, "flight_mode_until": {SEEN: landing}}
    assert POSITION not in look(heard(SEEN, landing, **channels), landing).also_found
    later = landing + 4 * HOUR
    assert look(heard(SEEN, landing, later, **channels), later).also_found[POSITION].since == later
    assert RULE.ended_at([heard(SEEN, later + 5, lat={later + 5: 1.0})], later, POSITION) == later + 5
    assert RULE.ended_at([heard(SEEN, later + 5, lat={SEEN: 1.0})], later, POSITION) is None


def test_however_a_trace_is_cut_the_state_is_the_same() -> None:
    at = [SEEN + n * HOUR for n in range(6)]
    whole = trace(
        *at, lat={at[1]: 1.0, at[3]: 2.0}, flight_mode_until={at[0]: at[2], at[4]: at[5], at[3]: at[5]}
    )
    expected = RULE.fold(PLAIN, FACTS, SignalLostState(), whole)
    for cut in range(1, len(at)):
        state = RULE.fold(PLAIN, FACTS, SignalLostState(), whole[:cut])
        assert RULE.fold(PLAIN, FACTS, state, whole[cut:]) == expected


FINE = (50.037912, 8.562217)


def positions(*where: tuple[int, float, float]) -> SignalLostState:
    return heard(
        *(at for at, *_ in where),
        lat={at: lat for at, lat, _ in where},
        lon={at: lon for at, _, lon in where},
    )


def test_what_a_receiver_gives_that_finds_no_satellites_is_no_position() -> None:
    end = SEEN + 4 * HOUR
    state = positions(*((SEEN + n * HOUR, 0.0, 0.0) for n in range(5)))
    assert POSITION not in look(positions((SEEN, 0.0, 0.0), (end - 1, 0.0, 0.0)), end - 1).also_found
    found = look(state, end).also_found[POSITION]
    assert found.since == end
    assert found.message == (
        "No position since 1970-01-12 13:47 UTC, though the logger is heard: its receiver finds no satellites"
    )
    known = positions((SEEN - HOUR, *FINE), *((SEEN + n * HOUR, 0.0, 0.0) for n in range(4)))
    assert look(known, SEEN + 3 * HOUR).also_found[POSITION].since == SEEN + 3 * HOUR


def test_a_position_that_is_repeated_to_the_metre_is_none_and_a_coarse_one_may_stand_still() -> None:
    end = SEEN + 4 * HOUR
    found = look(positions(*((SEEN + n * HOUR, *FINE) for n in range(5))), end).also_found[POSITION]
    assert found.since == end
    assert found.message == (
        "No new position since 1970-01-12 13:47 UTC, though the logger is heard: its receiver repeats the last one to the metre"
    )
    moved = positions((SEEN, *FINE), (SEEN + HOUR, FINE[0] + 0.00002, FINE[1]), (end, *FINE))
    assert POSITION not in look(moved, end).also_found
    coarse = positions(*((SEEN + n * HOUR, 50.0379, 8.5622) for n in range(5)))
    assert POSITION not in look(coarse, end).also_found


def test_however_positions_are_cut_the_state_is_the_same() -> None:
    where = [(0.0, 0.0), FINE, FINE, (0.0, 0.0), (50.1, 8.6), FINE, FINE]
    at = [SEEN + n * HOUR for n in range(len(where))]
    whole = trace(
        *at,
        lat={one: lat for one, (lat, _) in zip(at, where, strict=True)},
        lon={one: lon for one, (_, lon) in zip(at, where, strict=True)},
        flight_mode_until={at[2]: at[4]},
    )
    expected = RULE.fold(PLAIN, FACTS, SignalLostState(), whole)
    assert (expected.position_at, expected.repeats) == (at[5], True)
    for every in (1, 2, 3):
        state = SignalLostState()
        for begin in range(0, len(at), every):
            state = RULE.fold(PLAIN, FACTS, state, whole[begin : begin + every])
        assert state == expected
