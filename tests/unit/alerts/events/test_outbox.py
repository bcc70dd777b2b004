"""Positions in the outbox as readers of the stream hand them back."""

import pytest

from alerts.events.outbox import Position


@pytest.mark.parametrize("position", [Position(0, 0), Position(74211, 3807), Position(2**63 - 1, 2**63 - 1)])
def test_there_and_back(position: Position) -> None:
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text", ["", "1", "-", "1-", "-1", "1-1-1", "1- 1", "１-1", f"{2**63}-0", f"0-{2**63}", "1-1\n"]
)
def test_what_is_no_position(text: str) -> None:
    assert Position.parse(text) is None


def test_the_number_comes_first() -> None:
    assert Position(1, 9) < Position(2, 1)
