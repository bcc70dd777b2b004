"""Another order, another time, and what the service has confirmed."""

import orjson
import pytest

from simulators.replay.contents import instant_ms
from simulators.replay.order import in_order, paced
from simulators.replay.shift import shift_message
from simulators.replay.survey import MessageSurvey, survey_messages
from simulators.replay.unconfirmed import UnconfirmedReadings
from simulators.wire.ack import Ack
from simulators.wire.message import RecordedMessage


def message(at_ms, device, *readings):
    said = readings[0] if len(readings) == 1 else list(readings)
    return RecordedMessage(at_ms, f"dewar/v1/{device}/readings", orjson.dumps(said))


def reading(seq, measured_at="2026-11-21T03:45:00.000Z", **more):
    return {"measured_at": measured_at, "seq": seq, "boot": 3, **more}


STATUS = RecordedMessage(
    5, "dewar/v1/B/status", b'{"state":"online","at":"2026-11-21T03:45:00.000Z"}', retain=True
)
MESSAGES = [
    message(1, "B", reading(0)),
    message(2, "A", reading(0), reading(1, 1_795_232_760_000)),
    message(4, "B", reading(1, "2026-11-21T02:45:00+01:00")),
    STATUS,
    RecordedMessage(9, "dewar/v1/A/readings", b"no JSON"),
]


def test_a_survey_counts():
    assert survey_messages(MESSAGES) == MessageSurvey(5, 4, 2, 1_795_225_500_000, 1_795_232_760_000)
    assert survey_messages([]) == MessageSurvey(0, 0, 0, None, None)


def test_orders():
    assert in_order(MESSAGES, "recorded", 1) == MESSAGES
    assert in_order(MESSAGES, "reversed", 1) == MESSAGES[::-1]
    assert [m.at_ms for m in in_order(MESSAGES, "by-device", 1)] == [2, 9, 1, 4, 5]
    many = MESSAGES * 20
    once, again, other = (in_order(many, "shuffled", seed) for seed in (1, 1, 2))
    assert once == again != other
    assert once != many
    assert sorted(m.at_ms for m in once) == sorted(m.at_ms for m in many)


def test_another_order_keeps_the_rhythm():
    kept = [m.at_ms for m in MESSAGES]
    assert [due for due, _ in paced(in_order(MESSAGES, "reversed", 1), kept)] == [0, 1, 3, 4, 8]


def test_all_instants_are_moved_and_nothing_else():
    later = [shift_message(each, 86_400_000) for each in MESSAGES]
    assert [each.at_ms for each in later] == [each.at_ms + 86_400_000 for each in MESSAGES]
    said = orjson.loads(later[1].payload)
    assert said == [reading(0, "2026-11-22T03:45:00.000Z"), reading(1, 1_795_232_760_000 + 86_400_000)]
    assert orjson.loads(later[3].payload)["at"] == "2026-11-22T03:45:00.000Z"
    assert later[3].retain
    assert later[4].payload == b"no JSON"


def test_what_is_no_instant_is_left_alone():
    odd = message(
        1, "A", {"measured_at": "yesterday", "at": None, "flight_mode_until": "2026-11-21T03:45:00Z"}
    )
    assert orjson.loads(shift_message(odd, 1000).payload) == {
        "measured_at": "yesterday",
        "at": None,
        "flight_mode_until": "2026-11-21T03:45:01.000Z",
    }


@pytest.mark.parametrize("value", ["2026-11-21 03:45", "soon", None, 1.5, True, [1]])
def test_no_instants(value):
    assert instant_ms(value) is None


def test_what_the_service_confirms():
    waiting = UnconfirmedReadings()
    assert [waiting.sent(each) for each in MESSAGES] == [1, 2, 1, 0, 0]
    waiting.sent(MESSAGES[0])
    assert (waiting.numbered, waiting.left) == (4, 4)
    waiting.confirm("A", Ack(boot=3, missing=((0, 0),), highest=1))
    assert (waiting.stored, waiting.left) == (1, 3)
    assert [waiting.lacks(each) for each in MESSAGES] == [True, True, True, False, False]
    waiting.confirm("A", Ack(boot=4, missing=(), highest=9))
    waiting.confirm("Z", Ack(boot=3, missing=(), highest=9))
    assert waiting.left == 3
    for _ in range(2):
        waiting.confirm("B", Ack(boot=3, missing=(), highest=9))
    waiting.confirm("A", Ack(boot=3, missing=(), highest=1))
    assert (waiting.stored, waiting.left) == (4, 0)
    assert not any(map(waiting.lacks, MESSAGES))


def test_readings_without_a_number_are_not_waited_for():
    waiting = UnconfirmedReadings()
    assert waiting.sent(message(1, "A", {"measured_at": 1})) == 1
    assert waiting.numbered == 0
