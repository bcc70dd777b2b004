"""Tell keys that are on record from those that are not, many in one query: for when somebody tries keys."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from api.identity.keys import digest, on_record, prefix_of


class Sieve:
    """Asks for all keys that have come since the last time in one query, and runs one query at a time."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiting: dict[str, asyncio.Future[bool]] = {}
        self._task: asyncio.Task[None] | None = None

    async def has(self, key: str) -> bool:
        """Return whether a key is on record, valid or not. Raises what the query raises."""
        if prefix_of(key) is None:
            return False
        if key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[key]
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="keys:sieve")
        return await asyncio.shield(
            waiting
        )  # who leaves does not take the answer from others with the same key

    async def _run(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting, {}
            try:
                async with self._engine.connect() as connection:
                    found = await on_record(connection, {prefix_of(key) for key in asked})
            except Exception as error:  # noqa: BLE001 - goes to whoever waits
                for waiting in asked.values():
                    waiting.set_exception(error)
                    waiting.exception()  # nobody may be waiting any more
            else:
                for key, waiting in asked.items():
                    waiting.set_result(digest(key) in found)
