"""Pure: what addresses that wrong keys come from have to put up with. Right keys from there are let in all the same."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from api.rates.bucket import Buckets, Rate

MOST_DELAY_S: Final = 2.0
REMEMBERED: Final = 2_000
"""So many keys are known again, of all addresses; of who tries more, the newest count again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """How a key that may be wrong is looked up."""

    delay_s: float
    """How long it has to wait before."""
    is_counted: bool
    """Whether it counts against its address; a key that was just tried from there does not count again."""


class WrongKeys:
    """Counts wrong keys by address: different ones, as the same one again guesses nothing.

    `now` is in seconds of a clock that never goes back.
    """

    def __init__(
        self, rate: Rate, *, most_delay_s: float = MOST_DELAY_S, remembered: int = REMEMBERED
    ) -> None:
        self._rate = rate
        self._most_delay_s = most_delay_s
        self._buckets = Buckets()
        self._remembered = remembered
        self._tried: OrderedDict[tuple[str, bytes], float] = OrderedDict()
        """Until when a key that came from an address is the same again, the oldest first."""

    def suspect(self, address: str, key: bytes, now: float) -> Suspicion:
        """Count a key that may be wrong, by its hash, before it is looked up: so a thousand at once are a thousand.

        The wait grows with each one too many. A script that goes on with an old key does not wait.
        """
        if self._tried.get((address, key), now) > now:
            return Suspicion(delay_s=0.0, is_counted=False)
        self._remember(address, key, now)
        left = self._buckets.force(address, self._rate, 1, now)
        delay_s = 0.0 if left >= 0 else self._most_delay_s * min(1.0, -left / self._rate.most)
        return Suspicion(delay_s=delay_s, is_counted=True)

    def clear(self, address: str, key: bytes, now: float) -> None:
        """Take back that a key was counted: it was right, or nobody could say."""
        if self._tried.pop((address, key), None) is not None:
            self._buckets.force(address, self._rate, -1, now)

    def wait_s(self, address: str, now: float) -> float | None:
        """Return after how many seconds to try again if there were too many, else None."""
        left = self._buckets.level(address, self._rate, now)
        return None if left >= 0 else (1 - left) / self._rate.per_s

    def _remember(self, address: str, key: bytes, now: float) -> None:
        self._tried[address, key] = now + self._rate.within_s
        self._tried.move_to_end((address, key))
        if len(self._tried) > self._remembered:
            self._tried.popitem(last=False)


class LetIn:
    """Keys that were right not long ago, by their hashes: they need not wait where wrong ones come from."""

    def __init__(self, *, for_s: float, most: int = 10_000) -> None:
        self._for_s = for_s
        self._most = most
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def note(self, key: bytes, now: float) -> None:
        """Remember one that was right just now."""
        self._until[key] = now + self._for_s
        self._until.move_to_end(key)
        if len(self._until) > self._most:
            self._until.popitem(last=False)

    def forget(self, key: bytes) -> None:
        """Forget one that is right no more."""
        self._until.pop(key, None)

    def has(self, key: bytes, now: float) -> bool:
        """Return whether it was right not long ago."""
        return self._until.get(key, now) > now
