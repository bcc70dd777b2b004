"""Pure: who did something: a person, a key, a logger, or the service itself."""

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

    @classmethod
    def parse(cls, text: str) -> "Actor | None":
        """Read what `str` wrote; None for anything else, such as the free name of a person."""
        kind, colon, name = text.partition(":")
        return cls(ActorKind(kind), name) if colon and name and kind in set(ActorKind) else None
