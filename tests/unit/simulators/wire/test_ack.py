"""How a logger reads an acknowledgement."""

import pytest

from simulators.wire.ack import Ack, parse_ack


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"boot": 3, "through": 7, "missing": [], "highest": 7}', Ack(boot=3, missing=(), highest=7)),
        (
            b'{"boot": 0, "through": 4, "missing": [[5, 6]], "highest": 9}',
            Ack(boot=0, missing=((5, 6),), highest=9),
        ),
        (b'{"through": 4, "missing": [[5, 6]]}', Ack(boot=0, missing=((5, 6),), highest=6)),
        (b'{"through": 4}', Ack(boot=0, missing=(), highest=4)),
        (b"", None),
        (b"[1]", None),
        (b'{"boot": 1}', None),
        (b'{"through": null}', None),
        (b'{"through": 4, "missing": [5]}', None),
    ],
)
def test_reading_an_ack(payload, expected):
    assert parse_ack(payload) == expected
