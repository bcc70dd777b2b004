"""Run long computations in short slices, and let the event loop do other work in between.

Threads would be worse: a thread that computes holds the event loop up for five milliseconds at every turn (the
interpreter's switch interval), and the loop has many turns.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from time import monotonic
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

SLICE_S = 0.0005
MAX_DEFERRAL_S = 0.005
"""How long a slice that can wait is held back, at most, while urgent computations run."""
_TURNS = 3
"""The first turn reads what has arrived, the second resumes whoever waited for it, the third whomever that wakes."""

can_wait: ContextVar[bool] = ContextVar("can_wait", default=False)
"""Whether the current task works on old data, such as an upload after a flight. Inherited by what it calls."""


class _Urgent:
    """Counts the running computations that cannot wait."""

    count = 0


async def in_slices(work: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """Return `work(item)` for each item, and yield to the event loop after every SLICE_S seconds.

    A computation that can wait is held back between its slices while urgent ones run, up to MAX_DEFERRAL_S.
    """
    waits = can_wait.get()
    done, pause_at = [], monotonic() + SLICE_S
    _Urgent.count += not waits
    try:
        for item in items:
            done.append(work(item))
            if monotonic() > pause_at:
                await (_defer() if waits else asyncio.sleep(0))
                pause_at = monotonic() + SLICE_S
    finally:
        _Urgent.count -= not waits
    return done


async def _defer() -> None:
    until = monotonic() + MAX_DEFERRAL_S
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    while _Urgent.count and monotonic() < until:  # noqa: ASYNC110 -- what it waits for runs in these turns
        await asyncio.sleep(0)
