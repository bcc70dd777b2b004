"""The gate: takes what a call costs from the buckets of its caller, lets each organization have its turns, and counts refusals."""

import asyncio
import math
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Final

import structlog
from prometheus_client import Counter

from api.identity.access import Principal
from api.rates.bucket import Buckets, Rate, Taken, retry_after
from api.rates.policy import WAIT_AT_MOST_S, WEIGHTS, Limited, Quotas, Rates
from api.refusals import QuotaReached, Refusal, TooMany, TooManyTests

log = structlog.get_logger(__name__)

REFUSED = Counter(
    "dewarwatch_limits_refused_total",
    "What was refused because somebody has or asked for too much",
    ["limit"],
)
for _limit in Limited:
    REFUSED.labels(_limit)  # shown from the start, at 0

_LOGGED_EVERY_S: Final = 60.0
_LOGGED_AT_MOST: Final = 10_000
HELD_S: Final = 1.0
"""How long a call that asks for too much waits for its refusal at most: who goes on all the same makes fewer of them."""
HEEDED: Final = Rate(most=20, within_s=20)
"""So many refusals are answered at once; then each waits longer than the one before."""
_BACKTEST_RETRY_S: Final = 15.0

_WORDS: Final[Mapping[Limited, str]] = {
    Limited.CALLS: "calls",
    Limited.READINGS: "readings",
    Limited.TESTS: "test messages",
}


def share_of(caller: Principal) -> str | None:
    """Return who shares a limit with a caller: its organization, or else the key alone; None for an operator's key."""
    if caller.is_operator:
        return None
    return caller.name if caller.organization is None else f"organization {caller.organization}"


class Gate:
    """What the callers of this process have asked for lately, and what they may still ask for."""

    def __init__(
        self,
        rates: Rates | None = None,
        quotas: Quotas | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        held_s: float = HELD_S,
    ) -> None:
        self.rates = rates or Rates()
        self.quotas = quotas or Quotas()
        self._clock = clock
        self._held_s = held_s
        self._buckets = Buckets()
        self._turns: dict[tuple[Limited, str], _Turns] = {}
        self._backtests: Tally[str] = Tally()
        self._open: Tally[str] = Tally()
        self._logged: dict[tuple[str, str], float] = {}

    def spend(self, caller: Principal, what: Limited, cost: float = 1) -> Taken:
        """Take what something costs from the buckets of a key and of its organization; raise TooMany if it is not there."""
        found = self._buckets.take(self._buckets_of(caller, what), cost, self._clock())
        if isinstance(found, Taken):
            return found
        whose = "Your organization" if found.place else "This key"
        raise TooMany(
            f"{whose} has asked for as many {_WORDS[what]} as it may, {found.rate.most} at once and then "
            f"{found.rate.per_s:.3g} a second: go on after {retry_after(found.wait_s)} s.",
            what=what,
            wait_s=found.wait_s,
        )

    def give_back(self, caller: Principal, what: Limited, cost: float = 1) -> None:
        """Put back what was taken for something that was not done."""
        for who, rate in self._buckets_of(caller, what):
            self._buckets.force(who, rate, -cost, self._clock())

    async def admit(self, caller: Principal, cost: float) -> Taken:
        """Take what a call costs; raise TooMany if it is not there, after a while if the caller does not heed that."""
        try:
            return self.spend(caller, Limited.CALLS, cost)
        except TooMany:
            who = f"refusals {share_of(caller) or caller.name}"
            left = self._buckets.force(who, HEEDED, 1, self._clock())
            await asyncio.sleep(self._held_s * max(0.0, -left / HEEDED.most))
            raise

    def _buckets_of(self, caller: Principal, what: Limited) -> list[tuple[str, Rate]]:
        key = f"{what} {caller.name}"
        if caller.is_operator:
            return [(key, self.rates.of_operator(what))]
        share = share_of(caller)
        return [(key, self.rates.of_key(what)), (f"{what} {share}", self.rates.of_organization(what))]

    def turn(self, caller: Principal) -> AbstractAsyncContextManager[None]:
        """Wait until fewer calls of the organization are worked on than may be at a time; raise TooMany if that takes long.

        So whoever has a hundred calls under way has a few database connections, and not all of them.
        """
        share = share_of(caller)
        if share is None:
            return nullcontext()
        why = f"{self.quotas.calls_at_once} calls of your organization are worked on, and others wait"
        return self._one_of(Limited.AT_ONCE, share, self.quotas.calls_at_once, why)

    def large_body(self, caller: Principal) -> AbstractAsyncContextManager[None]:
        """Wait until fewer large bodies of the organization are held than may be; raise TooMany if that takes long.

        So whoever sends hundreds at once, or slowly, has the memory of a few.
        """
        share = share_of(caller) or caller.name
        why = (
            f"{self.quotas.large_bodies} large bodies of your organization are on their way, and others wait"
        )
        return self._one_of(Limited.LARGE_BODIES, share, self.quotas.large_bodies, why)

    @asynccontextmanager
    async def _one_of(self, what: Limited, share: str, most: int, why: str) -> AsyncIterator[None]:
        turns = self._turns.setdefault((what, share), _Turns(most))
        turns.users += 1
        try:
            try:
                async with asyncio.timeout(WAIT_AT_MOST_S):
                    await turns.free.acquire()
            except TimeoutError:
                raise TooMany(f"{why}: have fewer under way at a time.", what=what, wait_s=1.0) from None
            try:
                yield
            finally:
                turns.free.release()
        finally:
            turns.users -= 1
            if not turns.users:
                del self._turns[what, share]

    @contextmanager
    def open_call(self, caller: Principal) -> Iterator[None]:
        """Count one call for as long as the block lasts; raise TooMany if its key or organization has too many.

        It is refused at once, as whoever waits holds a connection, too.
        """
        share = share_of(caller)
        if share is None:
            yield
            return
        counted = {
            f"key {caller.name}": ("This key", self.quotas.open_calls_of_key),
            f"share {share}": ("Your organization", self.quotas.open_calls),
        }
        for who, (whose, most) in counted.items():
            if self._open[who] >= most:
                raise TooMany(
                    f"{whose} has {most} calls open, which is the most: have fewer under way at a time.",
                    what=Limited.OPEN,
                    wait_s=1.0,
                )
        self._open.update(counted.keys())
        try:
            yield
        finally:
            for who in counted:
                self._open[who] -= 1
                if not self._open[who]:
                    del self._open[who]

    @contextmanager
    def backtest(self, caller: Principal) -> Iterator[None]:
        """Count one backtest for as long as the block lasts; raise TooMany if there is no room for it."""
        share = share_of(caller)
        if share is None:
            yield
            return
        if self._backtests[share] >= self.quotas.backtests:
            raise self._no_backtest(f"Your organization has {self._backtests[share]} backtests running")
        if self._backtests.total() >= self.quotas.backtests_of_all:
            raise self._no_backtest(f"{self._backtests.total()} backtests are running")
        self._backtests[share] += 1
        try:
            yield
        finally:
            self._backtests[share] -= 1
            if not self._backtests[share]:
                del self._backtests[share]

    @staticmethod
    def _no_backtest(why: str) -> TooMany:
        return TooMany(
            f"{why}, which is the most: wait for one to end.",
            what=Limited.BACKTESTS,
            wait_s=_BACKTEST_RETRY_S,
        )

    def note(self, refusal: Refusal, who: str) -> None:
        """Count a refusal, and log the first of each minute for whom it concerns and what."""
        if (what := _limit_of(refusal)) is not None:
            self.count(what, who)

    def count(self, what: Limited, who: str) -> None:
        """Count something that was refused to somebody, such as the prefix of a key or an address."""
        REFUSED.labels(what).inc()
        now = self._clock()
        if now - self._logged.get((what, who), -math.inf) < _LOGGED_EVERY_S:
            return
        if len(self._logged) >= _LOGGED_AT_MOST:
            self._logged.clear()
        self._logged[what, who] = now
        log.warning("limit_reached", limit=what.value, who=who)


class _Turns:
    """The turns of one organization at something, and how many have or want one."""

    def __init__(self, most: int) -> None:
        self.free = asyncio.Semaphore(most)
        self.users = 0


def _limit_of(refusal: Refusal) -> Limited | None:
    if isinstance(refusal, TooManyTests):
        return Limited.TESTS
    return refusal.what if isinstance(refusal, TooMany | QuotaReached) else None


def weight_of(call: str) -> int:
    """Return what a call costs, such as `GET /v1/alerts`."""
    return WEIGHTS.get(call, 1)


def headers_of(taken: Taken) -> dict[str, str]:
    """Return what an answer says of how much is left, as in the IETF's draft of RateLimit header fields."""
    window = math.ceil(taken.rate.within_s)
    return {
        "RateLimit-Policy": f'"calls";q={taken.rate.most};w={window}',
        "RateLimit": f'"calls";r={max(0, int(taken.left))};t={math.ceil((taken.rate.most - taken.left) / taken.rate.per_s)}',
    }
