"""Settings that make no sense are refused, and the error says what to change."""

from datetime import UTC, datetime

import pytest

from simulators.fleet.settings import SimulationSettings, check_settings


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"scenario": "nope"}, "there is no scenario 'nope': choose from ambient-for-payload, "),
        ({"fleet": 0}, "at least one logger"),
        ({"seed": -1}, "seed"),
        ({"memory": 0}, "holds at least one reading"),
        ({"speed": 0}, "above 0"),
        ({"interval_s": -1}, "above 0"),
        ({"speed": 100_000}, "lower the speed"),
        ({"start": datetime(2026, 1, 1)}, "time zone"),
    ],
)
def test_refused(changes, text):
    settings = {"mqtt_url": "mqtt://localhost", "start": datetime(2026, 1, 1, tzinfo=UTC)} | changes
    with pytest.raises(ValueError, match=text):
        check_settings(SimulationSettings(**settings))


def test_secrets_are_not_printed():
    settings = SimulationSettings(
        mqtt_url="mqtt://a:hidden@b", api_key="hidden", start=datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert "hidden" not in repr(settings)
