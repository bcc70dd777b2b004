"""What a sender may send of a logger, by what was its own at that instant."""

from datetime import UTC, datetime, timedelta

import pytest

from telemetry.ingest.senders import AHEAD_AT_MOST, SenderRights, Stretch
from telemetry.model import Reading, Refusal, RefusalReason

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def hours(count):
    return NOON + timedelta(hours=count)


def stretch(starts, ends, *, is_open=True):
    return Stretch(
        assignment_id=starts,
        starts_at=hours(starts),
        ends_at=None if ends is None else hours(ends),
        is_open=is_open,
    )


RIGHTS = SenderRights(
    now=hours(99),
    speaks_for=frozenset({"OWN"}),
    stretches={"L": [stretch(0, 2), stretch(2, 4, is_open=False), stretch(6, None)], "N": []},
)


@pytest.mark.parametrize(
    ("device_id", "at", "may"),
    [
        ("L", -0.1, False),
        ("L", 0, True),
        ("L", 1.9, True),
        ("L", 2, False),
        ("L", 5, False),
        ("L", 6, True),
        ("L", 99, True),
        ("N", 1, False),
        ("X", 1, False),
        ("OWN", 1, True),
    ],
)
def test_a_reading_is_judged_by_its_instant(device_id, at, may):
    reading = Reading(device_id, hours(at), 1.0, seq=3)
    judged = RIGHTS.judged(reading)
    if may:
        assert judged is reading
        return
    assert isinstance(judged, Refusal)
    assert judged.reason is RefusalReason.NOT_YOURS
    assert (judged.seq, judged.boot) == (None, None)


@pytest.mark.parametrize("device_id", ["L", "N", "X"])
def test_what_lies_ahead_is_the_loggers_alone(device_id):
    at = hours(99) + AHEAD_AT_MOST
    assert RIGHTS.judged(Reading("L", at, 1.0)).measured_at == at
    judged = RIGHTS.judged(Reading(device_id, at + timedelta(microseconds=1), 1.0, seq=3))
    assert (judged.reason, judged.seq) == (RefusalReason.CLOCK_AHEAD, None)
    assert judged.detail.startswith("measured_at lies more than 30 seconds ahead")
    own = Reading("OWN", at + timedelta(minutes=4), 1.0)
    assert RIGHTS.judged(own) is own


def test_the_refusal_is_the_same_for_what_is_anothers_and_what_is_nobodys():
    told = {
        RIGHTS.judged(Reading(device_id, hours(3), 1.0)).detail.replace(device_id, "ID")
        for device_id in ("L", "N", "X")
    }
    (detail,) = told
    assert detail.startswith(
        "ID was on no shipment at 2026-11-21T15:00:00Z that this key may send readings of: ask "
    )


def test_what_is_refused_already_stays_refused_as_it_is():
    refused = Refusal(reason=RefusalReason.CLOCK_AHEAD, detail="x", device_id="L", seq=4)
    assert RIGHTS.judged(refused) is refused
