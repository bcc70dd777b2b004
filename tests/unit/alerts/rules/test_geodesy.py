from math import pi

import pytest

from alerts.rules.geodesy import EARTH_M, distance_m, distance_to_path_m, unit_vector

JFK, LHR = unit_vector(40.6399, -73.7787), unit_vector(51.4706, -0.4619)
SYD, SCL = unit_vector(-33.9461, 151.177), unit_vector(-33.393, -70.7858)


@pytest.mark.parametrize(
    ("one", "other", "km"),
    [
        (JFK, LHR, 5540),  # as timetables print it
        (SYD, SCL, 11340),  # across the date line, far in the south
        (unit_vector(0, 179.5), unit_vector(0, -179.5), 111.2),  # a degree over the line
        (unit_vector(90, 0), unit_vector(90, 123), 0),  # the pole has every longitude
        (unit_vector(0, 0), unit_vector(0, 180), pi * EARTH_M / 1000),  # opposite points
    ],
)
def test_distances(one: tuple[float, float, float], other: tuple[float, float, float], km: float) -> None:
    assert distance_m(one, other) / 1000 == pytest.approx(km, rel=0.005, abs=1e-6)
    assert distance_m(one, other) == pytest.approx(distance_m(other, one))


@pytest.mark.parametrize(
    ("point", "start", "end", "km"),
    [
        (unit_vector(0, 5), unit_vector(0, 0), unit_vector(0, 10), 0),  # on the way
        (unit_vector(1, 5), unit_vector(0, 0), unit_vector(0, 10), 111.2),  # beside it
        (unit_vector(0, 12), unit_vector(0, 0), unit_vector(0, 10), 222.4),  # beyond its end
        (unit_vector(0, -3), unit_vector(0, 0), unit_vector(0, 10), 333.6),  # before its beginning
        (
            unit_vector(0, 175),
            unit_vector(0, 0),
            unit_vector(0, 10),
            165 * 111.195,
        ),  # on the same circle, behind
        (unit_vector(1, 180), unit_vector(0, 179), unit_vector(0, -179), 111.2),  # over the date line
        (unit_vector(2, 2), unit_vector(1, 2), unit_vector(1, 2), 111.2),  # a way of no length
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
    halfway = unit_vector(52.4, -41.3)  # where aircraft are that fly from London to New York
    assert distance_to_path_m(halfway, LHR, JFK) < 60_000
    assert distance_to_path_m(unit_vector(45, -40), LHR, JFK) > 700_000
