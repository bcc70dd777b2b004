"""Pure: noise by counter, so that the n-th reading of any logger can be computed without the n-1 before it."""

_MASK = (1 << 64) - 1


def mixed(key: int, tick: int, channel: int) -> int:
    """Return 64 well-mixed bits for a tick of a channel: the finalizer of splitmix64 (Steele et al., 2014)."""
    z = (key + tick * 0x9E3779B97F4A7C15 + channel * 0xD1B54A32D192ED03) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def uniform(key: int, tick: int, channel: int) -> float:
    """Return a number from 0 up to 1."""
    return mixed(key, tick, channel) / 2**64


def gauss(key: int, tick: int, channel: int) -> float:
    """Return a number of mean 0 and deviation 1, never beyond 3.5: the sum of four uniform ones of 16 bits."""
    z = mixed(key, tick, channel)
    total = (z & 0xFFFF) + (z >> 16 & 0xFFFF) + (z >> 32 & 0xFFFF) + (z >> 48)
    return (total / 65535 - 2) * 1.7320508
