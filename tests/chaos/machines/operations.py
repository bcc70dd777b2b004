"""The log of operations: what was asked of the service, when, and how it ended as far as anybody knows."""

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    UNKNOWN = "unknown"
    """Not answered, or answered that it went wrong: it may have been done, now or later."""
    OK = "ok"
    """Confirmed: it must be found for ever."""
    FAILED = "failed"
    """Refused: nobody may ever see anything of it."""


@dataclass(slots=True)
class Operation:
    kind: str
    key: Hashable
    invoked_s: float
    ended_s: float | None = None
    outcome: Outcome = Outcome.UNKNOWN


class Log:
    """Taken from several threads; instants are of a steady clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all: dict[tuple[str, Hashable], Operation] = {}
        self._lock = threading.Lock()

    def invoke(self, kind: str, key: Hashable) -> None:
        """Notes the first time that something is asked; to ask again is the same operation."""
        with self._lock:
            self._all.setdefault((kind, key), Operation(kind, key, self._clock()))

    def end(self, kind: str, key: Hashable, outcome: Outcome) -> None:
        """Notes the first answer that says something."""
        with self._lock:
            operation = self._all[kind, key]
            if operation.outcome is Outcome.UNKNOWN:
                operation.ended_s, operation.outcome = self._clock(), outcome

    def of(self, kind: str, outcome: Outcome | None = None) -> Iterator[Operation]:
        with self._lock:
            every = list(self._all.values())
        return (each for each in every if each.kind == kind and outcome in {None, each.outcome})

    def keys(self, kind: str, outcome: Outcome | None = None) -> set[Hashable]:
        return {each.key for each in self.of(kind, outcome)}

    def answered_since(self, kind: str, since_s: float) -> bool:
        """Whether something that was asked after an instant has been confirmed."""
        return any(each.invoked_s > since_s for each in self.of(kind, Outcome.OK))

    def summary(self) -> str:
        with self._lock:
            every = list(self._all.values())
        kinds = sorted({each.kind for each in every})
        of_each = {kind: [each.outcome for each in every if each.kind == kind] for kind in kinds}
        return "; ".join(
            f"{kind}: " + ", ".join(f"{outcomes.count(one)} {one}" for one in Outcome if one in outcomes)
            for kind, outcomes in of_each.items()
        )
