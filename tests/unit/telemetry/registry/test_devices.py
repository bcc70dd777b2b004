"""The health of a logger by its row: the limits to the microsecond."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from telemetry.registry.devices import DeviceHealth, health

NOW = datetime(2026, 11, 21, 3, 45, tzinfo=UTC)
HALF_HOUR, TICK = timedelta(minutes=30), timedelta(microseconds=1)
HEARD = {
    "last_received_at": NOW,
    "flight_mode_until": None,
    "interval_s": None,
    "probe_ok": True,
    "battery_pct": None,
    "set_aside": None,
}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, DeviceHealth.NORMAL),
        ({"last_received_at": None}, DeviceHealth.NEVER_SEEN),
        ({"last_received_at": NOW - HALF_HOUR}, DeviceHealth.NORMAL),
        ({"last_received_at": NOW - HALF_HOUR - TICK}, DeviceHealth.NO_SIGNAL),
        ({"last_received_at": NOW - HALF_HOUR - TICK, "interval_s": 60}, DeviceHealth.NO_SIGNAL),
        ({"last_received_at": NOW - 3 * HALF_HOUR, "interval_s": 1800}, DeviceHealth.NORMAL),
        ({"last_received_at": NOW - 3 * HALF_HOUR - TICK, "interval_s": 1800}, DeviceHealth.NO_SIGNAL),
        # What it announced counts to its very end, however long it is, and not beyond.
        ({"last_received_at": NOW - 2 * HALF_HOUR, "flight_mode_until": NOW}, DeviceHealth.NORMAL),
        ({"last_received_at": NOW - 2 * HALF_HOUR, "flight_mode_until": NOW - TICK}, DeviceHealth.NO_SIGNAL),
        (
            {"last_received_at": NOW - timedelta(days=300), "flight_mode_until": NOW + timedelta(days=300)},
            DeviceHealth.NORMAL,
        ),
        ({"last_received_at": NOW - HALF_HOUR - TICK, "probe_ok": False}, DeviceHealth.NO_SIGNAL),
        ({"probe_ok": False, "battery_pct": 3.0}, DeviceHealth.PROBE_FAULT),
        ({"set_aside": {"humidity_pct": {}}}, DeviceHealth.SET_ASIDE),
        ({"set_aside": {"humidity_pct": {}}, "battery_pct": 3.0}, DeviceHealth.LOW_BATTERY),
        ({"probe_ok": None, "battery_pct": 20.0}, DeviceHealth.NORMAL),
        ({"battery_pct": 19.9}, DeviceHealth.LOW_BATTERY),
    ],
)
def test_what_is_the_matter_with_a_logger(row: dict[str, Any], expected: DeviceHealth) -> None:
    assert health({**HEARD, **row}, NOW) is expected
