"""Pure: a message as it is laid out, before it becomes text or HTML."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading, and what stands below it: sentences, one by one."""

    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One event, or all there is to say."""

    badge: str
    """How bad it is, in a word."""
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
    """It is marked first of all."""
    lead: tuple[str, ...]
    """What stands before the cards."""
    cards: tuple[Card, ...]
    foot: tuple[str, ...]


DRILL = "DRILL: this is an exercise. Nothing is wrong with a real product."
