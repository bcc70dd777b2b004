"""Pure: who did something: a person, a key, a logger, or the service itself.

Functions that change something take an `Actor`. Text is what records hold: `str(actor)` at the database, and nowhere else.
"""

from dataclasses import dataclass
from enum import StrEnum


class ActorKind(StrEnum):
    """What did it."""

    USER = "user"
    KEY = "key"
    DEVICE = "device"
    RULE = "rule"
    TIMER = "timer"
    COMMAND = "command"
    """Somebody at a shell of the service."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something; as text, `key:dw_1f0c93ab`, as records have it."""

    kind: ActorKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    @property
    def is_person(self) -> bool:
        """Whether people act under this name: a user, or somebody with a key."""
        return self.kind in {ActorKind.USER, ActorKind.KEY}

    @classmethod
    def parse(cls, text: str) -> "Actor | None":
        """Read what `str` wrote; None for anything else, such as the free name of a person."""
        kind, colon, name = text.partition(":")
        return cls(ActorKind(kind), name) if colon and name and kind in set(ActorKind) else None


def read_actor(stored: str | None) -> Actor | str | None:
    """Read what a record says of who did it; text that no actor wrote stays as it is, so that it is written back the same."""
    return None if stored is None else Actor.parse(stored) or stored


def stored_actor(who: Actor | str | None) -> str | None:
    """Return who did it as records hold it: the inverse of `read_actor`."""
    return None if who is None else str(who)
