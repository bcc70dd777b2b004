"""Long computations in slices, between which everything else that the event loop has to do gets its turn.

Not in threads: one of them would keep the event loop waiting for five milliseconds at every turn (the interpreter's
switch interval), and the loop has many turns.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from time import monotonic
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

SLICE_S = 0.0005
PATIENCE_S = 0.005
"""How long at the most one slice of what can wait waits for what cannot."""
_TURNS = 3
"""In the first, what has arrived is read; in the second, whoever waited for it goes on; in the third, whom that wakes."""

can_wait: ContextVar[bool] = ContextVar("can_wait", default=False)
"""Whether a task works on what happened hours ago: set by it, and true for all that it calls."""


class _Urgent:
    """How many computations are going on that cannot wait."""

    count = 0


async def in_slices(work: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """Give what `work` makes of each item, letting others run whenever SLICE_S seconds have passed.

    What can wait has no slice while anything is computed that cannot, or at least a few.
    """
    waits = can_wait.get()
    done, pause_at = [], monotonic() + SLICE_S
    _Urgent.count += not waits
    try:
        for item in items:
            done.append(work(item))
            if monotonic() > pause_at:
                await (_wait() if waits else asyncio.sleep(0))
                pause_at = monotonic() + SLICE_S
    finally:
        _Urgent.count -= not waits
    return done


async def _wait() -> None:
    until = monotonic() + PATIENCE_S
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    while _Urgent.count and monotonic() < until:  # noqa: ASYNC110 -- what it waits for runs in these turns
        await asyncio.sleep(0)
