"""Noise that is the same every time, and random enough."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulators.world.noise import gauss, uniform, uniform_at

TICKS = np.arange(20_000)


def test_same_place_same_noise():
    assert gauss(7, TICKS, 0).tolist() == gauss(7, TICKS, 0).tolist()
    drawn = [gauss(key, np.array([1, 2]), channel) for key in (1, 2) for channel in (0, 1)]
    assert len(set(np.concatenate(drawn).tolist())) == 8


def test_gauss_has_mean_0_and_deviation_1():
    values = gauss(99, TICKS, 0)
    assert abs(values.mean()) < 0.03
    assert abs(values.std() - 1) < 0.03
    assert abs(values).max() < 3.5


def test_uniform_fills_its_range_and_channels_are_independent():
    values = uniform(99, TICKS, 0)
    assert 0 <= values.min() < 0.001
    assert 0.999 < values.max() < 1
    assert abs(np.corrcoef(values, uniform(99, TICKS, 1))[0, 1]) < 0.03


def one_by_one(key, tick, channel):
    """The gauss noise of one tick in Python's integers, which do not overflow."""
    mask = (1 << 64) - 1
    z = (key + tick * 0x9E3779B97F4A7C15 + channel * 0xD1B54A32D192ED03) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    z ^= z >> 31
    total = (z & 0xFFFF) + (z >> 16 & 0xFFFF) + (z >> 32 & 0xFFFF) + (z >> 48)
    return (total / 65535 - 2) * 1.7320508


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(0, 40))
def test_columns_are_equal_to_the_noise_one_by_one(key, tick, channel):
    ticks = np.array([tick, tick + 1])
    assert uniform(key, ticks, channel).tolist() == [
        uniform_at(key, each, channel) for each in ticks.tolist()
    ]
    assert gauss(key, ticks, channel).tolist() == [one_by_one(key, each, channel) for each in ticks.tolist()]
