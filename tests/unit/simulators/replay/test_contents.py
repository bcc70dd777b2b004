"""What counts as an instant."""

import pytest

from simulators.replay.contents import instant_ms


@pytest.mark.parametrize("value", ["2026-11-21 03:45", "soon", None, 1.5, True, [1]])
def test_no_instants(value):
    assert instant_ms(value) is None
