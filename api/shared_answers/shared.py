"""One answer for all who ask at once, and for a while after: what is dear to make is not made for each stranger."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Makes something when it is asked for, one at a time, and gives it to whoever asks within the next seconds."""

    def __init__(self, make: Callable[[], Awaitable[T]], *, for_s: float = math.inf) -> None:
        self._make = make
        self._for_s = for_s
        self._task: asyncio.Task[T] | None = None
        self._until = -math.inf

    async def get(self) -> T:
        """Return it; raises what making it raises, and then it is made anew for the next one."""
        task = self._task
        if task is None or (task.done() and (time.monotonic() >= self._until or task.exception())):
            task = self._task = asyncio.create_task(self._made())
        return await asyncio.shield(task)  # whoever leaves does not take it from the others

    async def _made(self) -> T:
        made = await self._make()
        self._until = time.monotonic() + self._for_s
        return made
