"""What waits for too long is a fault once it was seen to for a while, and for as long as it does."""

from alerts.faults.fault import CRITICAL, Part
from alerts.faults.waiting import LATE, Waiting

NOTHING = {column: None for one in LATE for column in one.waited}


class Clock:
    """A steady clock that stands still until it is told to go on."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def parts(waiting: Waiting) -> list[tuple[Part, float]]:
    return [(fault.part, fault.for_s) for fault in waiting.find()]


def test_it_is_told_after_it_was_seen_for_a_while_and_until_it_is_over() -> None:
    clock = Clock()
    waiting = Waiting(clock)
    for seen_s, found in (
        (0.0, []),
        (14.0, []),
        (15.0, [(Part.JUDGING, 75.0)]),
        (100.0, [(Part.JUDGING, 160.0)]),
    ):
        clock.now_s = 1000.0 + seen_s
        waiting.note({**NOTHING, "unjudged_s": 61.0 + seen_s})
        assert parts(waiting) == found
    waiting.note({**NOTHING, "unjudged_s": 0.5})
    assert parts(waiting) == []


def test_a_clock_that_jumps_ages_everything_for_a_moment_and_is_no_fault() -> None:
    clock = Clock()
    waiting = Waiting(clock)
    waiting.note(dict.fromkeys(NOTHING, 3600.0))
    clock.now_s += 5.0
    waiting.note(NOTHING)
    clock.now_s += 15.0
    waiting.note(dict.fromkeys(NOTHING, 3600.0))
    assert parts(waiting) == []


def test_each_part_has_its_own_patience_and_nobody_is_told_of_less() -> None:
    clock = Clock()
    for waited_s, found in (
        (59.0, []),
        (61.0, [Part.JUDGING]),
        (121.0, [Part.JUDGING, Part.TELLING, Part.MAIL]),
    ):
        waiting = Waiting(clock)
        waiting.note(dict.fromkeys(NOTHING, waited_s))
        clock.now_s += 15.0
        assert [part for part, _ in parts(waiting)] == found
    assert {one.part for one in LATE} < CRITICAL
