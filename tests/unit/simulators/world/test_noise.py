"""Noise that is the same each time, and noise enough."""

import statistics

from simulators.world.noise import gauss, uniform

TICKS = range(20_000)


def test_same_place_same_noise():
    assert gauss(7, 12, 0) == gauss(7, 12, 0)
    assert len({gauss(key, tick, channel) for key in (1, 2) for tick in (1, 2) for channel in (0, 1)}) == 8


def test_gauss_has_mean_0_and_deviation_1():
    values = [gauss(99, tick, 0) for tick in TICKS]
    assert abs(statistics.fmean(values)) < 0.03
    assert abs(statistics.pstdev(values) - 1) < 0.03
    assert max(map(abs, values)) < 3.5


def test_uniform_fills_its_range_and_channels_are_apart():
    values = [uniform(99, tick, 0) for tick in TICKS]
    assert 0 <= min(values) < 0.001
    assert 0.999 < max(values) < 1
    assert abs(statistics.correlation(values, [uniform(99, tick, 1) for tick in TICKS])) < 0.03
