"""What receivers send that do not know where they are, and what only repeats itself."""

import numpy as np
import pytest

from telemetry.fixes import is_fine, is_fix

NAN = float("nan")


@pytest.mark.parametrize(
    ("lat", "lon", "known"),
    [
        (50.0379, 8.5622, True),
        (0.0, 8.5622, True),  # on the equator
        (51.4779, 0.0, True),  # in Greenwich
        (-0.002, 0.0, True),
        (0, 0, False),
        (-0.0, 0.000001, False),
        (90, 0, False),
        (-90.0, 180.0, False),
        (NAN, NAN, False),
    ],
)
def test_a_place_is_told_from_what_means_no_place(lat: float, lon: float, known: bool) -> None:
    assert bool(is_fix(lat, lon)) is known
    assert is_fix(np.array([lat, 1.0]), np.array([lon, 1.0])).tolist() == [known, True]


@pytest.mark.parametrize(
    ("lat", "lon", "fine"),
    [
        (50.0379, 8.5622, False),
        (-50.0379, -8.5622, False),
        (float(np.float32(50.0379)), float(np.float32(8.5622)), False),
        (50, 8, False),
        (50.03794, 8.5622, True),
        (50.037912, 8.562217, True),
        (-33.946112, 151.177222, True),
    ],
)
def test_only_a_position_to_some_metres_can_be_known_to_repeat_itself(
    lat: float, lon: float, fine: bool
) -> None:
    assert bool(is_fine(lat, lon)) is fine
    assert is_fine(np.array([lat]), np.array([lon])).tolist() == [fine]
