"""The real time, as opposed to the time of simulated journeys."""

import time


def now_ms() -> int:
    """Return the current time in epoch milliseconds."""
    return time.time_ns() // 1_000_000
