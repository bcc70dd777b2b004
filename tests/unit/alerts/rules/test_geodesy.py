from math import pi

import pytest

from alerts.rules.geodesy import EARTH_M, distance_m, distance_to_path_m, on_sphere

JFK, LHR = on_sphere(40.6399, -73.7787), on_sphere(51.4706, -0.4619)
SYD, SCL = on_sphere(-33.9461, 151.177), on_sphere(-33.393, -70.7858)


@pytest.mark.parametrize(
    ("one", "other", "km"),
    [
        (JFK, LHR, 5540),  # as timetables print it
        (SYD, SCL, 11340),  # across the date line, far in the south
        (on_sphere(0, 179.5), on_sphere(0, -179.5), 111.2),  # a degree over the line
        (on_sphere(90, 0), on_sphere(90, 123), 0),  # the pole has every longitude
        (on_sphere(0, 0), on_sphere(0, 180), pi * EARTH_M / 1000),  # opposite points
    ],
)
def test_distances(one: tuple[float, float, float], other: tuple[float, float, float], km: float) -> None:
    assert distance_m(one, other) / 1000 == pytest.approx(km, rel=0.005, abs=1e-6)
    assert distance_m(one, other) == pytest.approx(distance_m(other, one))


@pytest.mark.parametrize(
    ("point", "start", "end", "km"),
    [
        (on_sphere(0, 5), on_sphere(0, 0), on_sphere(0, 10), 0),  # on the way
        (on_sphere(1, 5), on_sphere(0, 0), on_sphere(0, 10), 111.2),  # beside it
        (on_sphere(0, 12), on_sphere(0, 0), on_sphere(0, 10), 222.4),  # beyond its end
        (on_sphere(0, -3), on_sphere(0, 0), on_sphere(0, 10), 333.6),  # before its beginning
        (on_sphere(0, 175), on_sphere(0, 0), on_sphere(0, 10), 165 * 111.195),  # on the same circle, behind
        (on_sphere(1, 180), on_sphere(0, 179), on_sphere(0, -179), 111.2),  # over the date line
        (on_sphere(2, 2), on_sphere(1, 2), on_sphere(1, 2), 111.2),  # a way of no length
    ],
)
def test_distance_to_a_path(
    point: tuple[float, float, float],
    start: tuple[float, float, float],
    end: tuple[float, float, float],
    km: float,
) -> None:
    assert distance_to_path_m(point, start, end) / 1000 == pytest.approx(km, rel=0.005, abs=1e-6)


def test_the_great_circle_of_an_ocean_runs_north_of_its_parallel() -> None:
    halfway = on_sphere(52.4, -41.3)  # where aircraft are that fly from London to New York
    assert distance_to_path_m(halfway, LHR, JFK) < 60_000
    assert distance_to_path_m(on_sphere(45, -40), LHR, JFK) > 700_000
