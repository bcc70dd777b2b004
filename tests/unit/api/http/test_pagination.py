"""Cursors come back as they went out; anything else is refused."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.views.excursions import EXCURSION_ORDER
from api.http.pagination import read_cursor, write_cursor
from api.http.problems import Problem
from telemetry import refusals, shipment_readings
from telemetry.registry.shipments import ORDER


@pytest.mark.parametrize(
    ("order", "key"),
    [
        (ORDER, [datetime(2026, 11, 21, 3, 45, 0, 123456, UTC), "S-1.é"]),
        (shipment_readings.ORDER, [datetime(2026, 11, 21, tzinfo=UTC), "D1", "manual"]),
        (EXCURSION_ORDER, [datetime(1970, 1, 1, tzinfo=UTC), uuid4()]),
        (refusals.ORDER, [2**63 - 1]),
    ],
)
def test_there_and_back(order, key) -> None:
    assert read_cursor(write_cursor(key), order) == key


@given(st.text(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr))
def test_anything_else_is_refused(text: str) -> None:
    for order in (ORDER, EXCURSION_ORDER, refusals.ORDER):
        with pytest.raises(Problem) as caught:
            read_cursor(text, order)
        assert caught.value.status == 422


def test_no_cursor_is_the_beginning() -> None:
    assert read_cursor(None, ORDER) is None
