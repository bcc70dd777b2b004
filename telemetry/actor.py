"""Pure: actors: the person, key, logger or part of the service that did something.

Functions that change something take an `Actor`. Records hold it as text: `str(actor)` is called at the database and
nowhere else.
"""

from dataclasses import dataclass
from enum import StrEnum


class ActorKind(StrEnum):
    """The kind of actor."""

    USER = "user"
    KEY = "key"
    DEVICE = "device"
    RULE = "rule"
    TIMER = "timer"
    COMMAND = "command"
    """Somebody at a shell of the service."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something; records hold it as text, such as `key:dw_1f0c93ab`."""

    kind: ActorKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    @property
    def is_person(self) -> bool:
        """Whether people act under this name: it is a user or a key."""
        return self.kind in {ActorKind.USER, ActorKind.KEY}

    @classmethod
    def parse(cls, text: str) -> "Actor | None":
        """Parse the text form; None for anything else, such as the name of a person as free text."""
        kind, colon, name = text.partition(":")
        return cls(ActorKind(kind), name) if colon and name and kind in set(ActorKind) else None


def read_actor(stored: str | None) -> Actor | str | None:
    """Parse the actor of a record; any other text is returned as it is, so that it is written back unchanged."""
    return None if stored is None else Actor.parse(stored) or stored


def stored_actor(who: Actor | str | None) -> str | None:
    """Return the text that records hold: the inverse of `read_actor`."""
    return None if who is None else str(who)
