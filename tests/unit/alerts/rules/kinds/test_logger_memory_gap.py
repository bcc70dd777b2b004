"""Sequence numbers that are missing for good, for now, or not at all."""

import numpy as np
import pytest

from alerts.excursions.trace import Channel, Trace
from alerts.rules.kinds.logger_memory_gap import LOGGER_MEMORY_GAP, MAX_HOLES, MAX_SPANS, may_lack
from tests.unit.alerts.rules.readings import HOUR, MINUTE, NAN, START, facts, look, trace

LATER = 3 * HOUR


def numbered(seq, boot=None, every=MINUTE, at=None, received=None) -> Trace:
    channels = {Channel.SEQ: seq} | ({} if boot is None else {Channel.BOOT: boot})
    if received is not None:
        channels[Channel.RECEIVED_AT] = received
    readings = trace(channels, every=every)
    at = readings.at if at is None else START + MINUTE * np.array(at)
    return Trace(at, readings.celsius, readings.channels)


@pytest.mark.parametrize(
    "readings",
    [
        numbered([5, 6, 7, 8]),
        numbered([5, NAN, 6, NAN, 7]),
        numbered([5, 6, 0, 1, 2], boot=[1, 1, 2, 2, 2]),  # it was restarted
        numbered([5, 6, 90, 91], boot=[1, 1, 2, 2]),
        numbered([5, 6, 6, 7]),  # sent twice, under two times
        numbered([5, 6, 4, 7]),  # the clock's trouble
        numbered([5, 6, 4_000_000, 4_000_001]),  # so many cannot have been measured in a minute
        numbered([5, 8, 6, 9, 7, 10], at=[0, 10, 20, 30, 40, 50]),  # set back: each hole is filled further on
    ],
)
def test_what_is_no_gap(readings):
    what = look(LOGGER_MEMORY_GAP, readings, later=LATER)
    assert (what.found, what.again_at) == (None, None)


def test_a_hole_is_told_once_it_has_stayed_open():
    readings = numbered([5, 6, 10, 11], at=[0, 1, 5, 6])
    waiting = look(LOGGER_MEMORY_GAP, readings)
    assert (waiting.found, waiting.again_at) == (None, START + 5 * MINUTE + LATER)
    what = look(LOGGER_MEMORY_GAP, readings, later=LATER).found
    assert what is not None
    assert (what.since, what.until, what.details["missing"]) == (START + MINUTE, None, 3)
    assert what.message == (
        "3 readings were measured and never came between 2024-10-04 00:01 UTC and 2024-10-04 00:05 UTC: "
        "the record has a hole; read the logger out before it is set up anew"
    )


def test_its_patience_counts_from_when_the_hole_came_to_light():
    arrived = START + 5 * HOUR  # after a flight, the newest first
    readings = numbered([5, 300], at=[0, 295], received=[START, arrived])
    assert look(LOGGER_MEMORY_GAP, readings).again_at == arrived + LATER


def test_one_that_is_filled_was_none():
    assert look(LOGGER_MEMORY_GAP, numbered([5, 6, 7, 8, 9, 10]), later=LATER).found is None


def test_all_holes_are_counted_however_many():
    odd = numbered([2 * n for n in range(MAX_HOLES + 30)], every=2 * MINUTE)
    what = look(LOGGER_MEMORY_GAP, odd, later=LATER).found
    assert what is not None
    assert (what.since, what.details["missing"]) == (START, MAX_HOLES + 29)
    state = LOGGER_MEMORY_GAP.fold(LOGGER_MEMORY_GAP.tuning(), facts(), LOGGER_MEMORY_GAP.state(), odd)
    assert len(state.holes) == MAX_HOLES


def test_holes_of_a_boot_before_stay_open_whatever_comes_after():
    readings = numbered([5, 7, 6, 7], boot=[1, 1, 2, 2], every=2 * MINUTE)
    what = look(LOGGER_MEMORY_GAP, readings, later=LATER).found
    assert what is not None
    assert what.details["missing"] == 1


def test_few_can_be_tolerated():
    readings = numbered([5, 7], every=2 * MINUTE)
    assert look(LOGGER_MEMORY_GAP, readings, later=LATER, least_missing=2.0).found is None
    assert look(LOGGER_MEMORY_GAP, readings, later=LATER, patience_s=21_600).found is None


def test_a_shipment_that_is_over_ends_it():
    over = START + 10 * HOUR
    readings = numbered([5, 7], every=2 * MINUTE)
    what = look(LOGGER_MEMORY_GAP, readings, facts(delivered_at=over), later=LATER, shipment_ended_at=over)
    assert what.found is not None
    assert (what.found.until, what.again_at) == (over, None)


def came(*ranges, boot=0):
    return facts(came={"D1": {boot: ranges}})


def test_what_came_and_was_refused_or_came_first_without_its_number_is_not_missing():
    readings = numbered([5, 6, 10, 11], at=[0, 1, 5, 6])
    assert look(LOGGER_MEMORY_GAP, readings, came((5, 11)), later=LATER).found is None
    assert look(LOGGER_MEMORY_GAP, readings, came((0, 7), (9, 11)), later=LATER).found.details["missing"] == 1
    assert (
        look(LOGGER_MEMORY_GAP, readings, came((0, 4), (12, 99)), later=LATER).found.details["missing"] == 3
    )
    assert look(LOGGER_MEMORY_GAP, readings, came((5, 11), boot=1), later=LATER).found is not None
    of_boot = numbered([5, 6, 10, 11], boot=[3, 3, 3, 3], at=[0, 1, 5, 6])
    assert look(LOGGER_MEMORY_GAP, of_boot, came((5, 11), boot=3), later=LATER).found is None


def test_however_many_holes_there_were_they_can_all_be_closed():
    odd = [2 * n for n in range(MAX_HOLES + 30)]
    readings = numbered(odd, every=2 * MINUTE)
    assert look(LOGGER_MEMORY_GAP, readings, came((0, odd[-1])), later=LATER).found is None
    few = look(LOGGER_MEMORY_GAP, readings, came((0, odd[-1] - 2)), later=LATER).found
    assert few is not None
    assert few.details["missing"] == 1
    assert few.since == START + 2 * MINUTE * (len(odd) - 2)


def test_of_boots_long_ago_only_the_number_is_known():
    boots = MAX_SPANS + 5
    seq = [number for _ in range(boots) for number in range(0, 4 * MAX_HOLES, 2)]
    boot = [number for number in range(boots) for _ in range(0, 4 * MAX_HOLES, 2)]
    readings = numbered(seq, boot=boot, every=2 * MINUTE)
    missing = boots * (2 * MAX_HOLES - 1)
    found = look(LOGGER_MEMORY_GAP, readings, later=LATER).found
    assert found is not None
    assert found.details["missing"] == missing
    state = LOGGER_MEMORY_GAP.fold(LOGGER_MEMORY_GAP.tuning(), facts(), LOGGER_MEMORY_GAP.state(), readings)
    assert len(state.older) == MAX_SPANS


@pytest.mark.parametrize(
    ("seq", "then", "asked"),
    [
        ([5, 6], [7, 8], False),
        ([5, 6], [9], True),
        ([5, 9], [10], True),
        ([], [5], False),
        ([5], [6, 5], True),
    ],
)
def test_what_came_is_asked_for_only_where_something_may_be_missing(seq, then, asked):
    so_far = numbered(seq) if seq else None
    state = LOGGER_MEMORY_GAP.state()
    if so_far is not None:
        state = LOGGER_MEMORY_GAP.fold(
            LOGGER_MEMORY_GAP.tuning(), facts(), state, numbered(seq, every=60 * MINUTE)
        )
    assert may_lack(state, numbered(then)) is asked
