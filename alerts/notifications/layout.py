"""Pure: the layout of a message, before it becomes text or HTML."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and the sentences below it."""

    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One event of a message."""

    badge: str
    """The severity in a word."""
    tone: str
    """critical, major, taken, over or plain."""
    title: str
    subtitle: str | None = None
    sections: tuple[Section, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    """Names and values, to look up."""
    link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole message."""

    subject: str
    drill: bool
    """Marks a drill, before anything else."""
    lead: tuple[str, ...]
    """The sentences before the cards."""
    cards: tuple[Card, ...]
    foot: tuple[str, ...]


DRILL = "DRILL: this is an exercise. Nothing is wrong with a real product."
