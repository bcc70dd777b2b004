"""Pure: what addresses that wrong keys come from have to put up with. Right keys from there are let in all the same."""

from collections import OrderedDict
from typing import Final

from api.rates.bucket import Buckets, Rate

MOST_DELAY_S: Final = 2.0


class WrongKeys:
    """Counts wrong keys by address. `now` is in seconds of a clock that never goes back."""

    def __init__(self, rate: Rate, *, most_delay_s: float = MOST_DELAY_S) -> None:
        self._rate = rate
        self._most_delay_s = most_delay_s
        self._buckets = Buckets()

    def suspect(self, address: str, now: float) -> float:
        """Count a key that may be wrong, and return how many seconds it has to wait before it is looked up.

        Counted before the look-up, so that a thousand at once are a thousand. The wait grows with each one too many.
        """
        left = self._buckets.force(address, self._rate, 1, now)
        return 0.0 if left >= 0 else self._most_delay_s * min(1.0, -left / self._rate.most)

    def clear(self, address: str, now: float) -> None:
        """Take back that a key was counted: it was right, or nobody could say."""
        self._buckets.force(address, self._rate, -1, now)

    def wait_s(self, address: str, now: float) -> float | None:
        """Return after how many seconds to try again if there were too many, else None."""
        left = self._buckets.level(address, self._rate, now)
        return None if left >= 0 else (1 - left) / self._rate.per_s


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
