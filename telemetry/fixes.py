"""Pure: whether a position that a logger sent is one. A receiver without satellites often gives numbers all the same.

The functions take floats, or NumPy arrays of them, in degrees of WGS 84; NaN is no position.
"""

from typing import Any, Final

NEAR_DEG: Final = 0.001
"""A receiver that never had a fix gives 0,0, or what its firmware rounds that to. There is nothing there but sea, and an
aircraft over it is gone within a second. Others give a pole."""
_COARSE_DIGITS: Final = 4
_SINGLE: Final = 2.0**-23
"""The relative step of a number of single precision."""


def is_fix(lat: Any, lon: Any) -> Any:
    """Return whether latitude and longitude are a place, and not what receivers give that do not know theirs."""
    return ((abs(lat) > NEAR_DEG) | (abs(lon) > NEAR_DEG)) & (abs(lat) < 90 - NEAR_DEG)


def is_fine(lat: Any, lon: Any) -> Any:
    """Return whether a position is given so finely, to some metres, that satellites never give the same twice.

    A position of a cell of the network, or one that is rounded to four digits, repeats itself wherever something stands.
    """
    return _has_more_digits(lat) | _has_more_digits(lon)


def _has_more_digits(degrees: Any) -> Any:
    return abs(degrees - _rounded(degrees)) > abs(degrees) * _SINGLE + 1e-9


def _rounded(degrees: Any) -> Any:
    scale = 10**_COARSE_DIGITS
    return (degrees * scale + 0.5) // 1 / scale
