"""What the service has confirmed."""

from simulators.replay.unconfirmed import UnconfirmedReadings
from simulators.wire.ack import Ack
from tests.unit.simulators.replay.messages import MESSAGES, message


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
