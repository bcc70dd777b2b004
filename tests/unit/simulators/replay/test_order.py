"""Another order, with the rhythm of the recording."""

from simulators.replay.order import in_order, paced
from tests.unit.simulators.replay.messages import MESSAGES


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
