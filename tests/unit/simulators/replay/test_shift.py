"""All instants of a message are moved, and nothing else."""

import orjson

from simulators.replay.shift import shift_message
from tests.unit.simulators.replay.messages import MESSAGES, message, reading


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
