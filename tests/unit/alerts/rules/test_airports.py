"""The airport at which a position is."""

import pytest

from alerts.evaluation.airports_file import airport_index
from alerts.rules.airports import AirportIndex


@pytest.mark.parametrize(
    ("lat", "lon", "code"),
    [
        (51.4239, 12.2364, "LEJ"),
        (51.50, 12.24, "LEJ"),  # eight kilometres north of it
        (51.80, 12.24, None),
        (-17.7, 179.999, None),
        (40.6398, -73.7789, "JFK"),
    ],
)
def test_the_nearest_within_ten_kilometres(lat: float, lon: float, code: str | None) -> None:
    assert airport_index().nearest(lat, lon, 10_000) == code


def test_without_airports_there_is_none() -> None:
    assert AirportIndex.of({}).nearest(0, 0, 1e9) is None
