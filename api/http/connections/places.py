"""Pure: who has a place among the connections, and whose is given to somebody new where there is none left.

A connection is busy while a request of its is being sent or answered. The others wait: those that have not yet sent a
request, and idle ones. Where an address, or the process, has as many as it may have, the one that has waited longest makes
room, first of those that never sent a request. So whoever only opens connections, and sends nothing, takes nothing from others:
an honest caller waits for the time of a round trip.
"""

from collections import Counter
from itertools import chain
from typing import Generic, TypeVar

Holder = TypeVar("Holder")


class _Waiting(Generic[Holder]):
    """Those that could make room, each kind in the order in which they began to wait."""

    def __init__(self) -> None:
        self._new: dict[Holder, None] = {}
        self._idle: dict[Holder, None] = {}

    def __bool__(self) -> bool:
        return bool(self._new or self._idle)

    def add(self, holder: Holder, *, new: bool) -> None:
        (self._new if new else self._idle)[holder] = None

    def remove(self, holder: Holder) -> None:
        self._new.pop(holder, None)
        self._idle.pop(holder, None)

    def longest(self) -> Holder | None:
        return next(chain(self._new, self._idle), None)


class Places(Generic[Holder]):
    """The places of a process."""

    def __init__(self, *, in_all: int, per_address: int) -> None:
        self.in_all, self.per_address = in_all, per_address
        self._address: dict[Holder, str | None] = {}
        self._taken: Counter[str] = Counter()
        self._waiting: _Waiting[Holder] = _Waiting()
        self._waiting_of: dict[str, _Waiting[Holder]] = {}

    def __len__(self) -> int:
        return len(self._address)

    def who_makes_room(self, address: str | None) -> tuple[str | None, Holder | None]:
        """Return why there is no place for one more, if so, and who can make room for it, if anybody can.

        Without an address (that of a proxy, which stands for many) only the places in all are limited.
        """
        if address is not None and self._taken[address] >= self.per_address:
            waiting = self._waiting_of.get(address)
            return "address_full", None if waiting is None else waiting.longest()
        if len(self._address) >= self.in_all:
            return "full", self._waiting.longest()
        return None, None

    def take(self, holder: Holder, address: str | None) -> None:
        """Give a place to somebody who has not sent anything yet."""
        self._address[holder] = address
        if address is not None:
            self._taken[address] += 1
        self.wait(holder, new=True)

    def wait(self, holder: Holder, *, new: bool = False) -> None:
        """Note that it waits from now on."""
        if holder not in self._address:
            return
        self._waiting.add(holder, new=new)
        if (address := self._address[holder]) is not None:
            self._waiting_of.setdefault(address, _Waiting()).add(holder, new=new)

    def work(self, holder: Holder) -> None:
        """Note that it is busy from now on."""
        self._waiting.remove(holder)
        address = self._address.get(holder)
        if address is not None and (waiting := self._waiting_of.get(address)) is not None:
            waiting.remove(holder)
            if not waiting:
                del self._waiting_of[address]

    def leave(self, holder: Holder) -> None:
        """Free the place, if it has one."""
        self.work(holder)
        address = self._address.pop(holder, None)
        if address is not None:
            self._taken[address] -= 1
            if not self._taken[address]:
                del self._taken[address]
