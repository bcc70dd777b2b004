"""Pure: a message as plain text, for the alternative part of mails and for chats."""

import re
import textwrap
from collections.abc import Iterator

from alerts.notifications.layout import DRILL, Card, Page

_WIDTH = 76
_LONGEST_CHAT = 3500  # what the strictest of the common chats takes is 4,000 characters
_MARKS = re.compile(r"[<@](?=\S)|\](?=\()")
"""Where mentions, links and commands begin in what people wrote: `<!channel>`, `@all`, `[here](https://...)`."""
_JOINER = "\u2060"
"""An invisible character that takes the meaning from the mark before it."""


def plain(page: Page) -> str:
    """Return a message as the text of a mail."""
    blocks: list[str] = []
    if page.drill:
        blocks.append(DRILL)
    blocks += [_wrapped(line) for line in page.lead]
    for place, card in enumerate(page.cards):
        if place:
            blocks.append("-" * 40)
        blocks += _card(card)
    blocks.append("-- \n" + "\n".join(_wrapped(line) for line in page.foot))
    return "\n\n".join(blocks) + "\n"


def chat(page: Page) -> str:
    """Return a message as the text of a chat: as `brief` does, with the chat's own markup defused."""
    lines = brief(page).split("\n")
    return "\n".join(
        line if line.startswith("http") else _MARKS.sub(rf"\g<0>{_JOINER}", line) for line in lines
    )


def brief(page: Page) -> str:
    """Return a message as text shorter than a mail's."""
    lines = [DRILL] if page.drill else []
    lines += page.lead
    for card in page.cards:
        lines.append(f"{card.badge}: {card.title}" + (f", {card.subtitle}" if card.subtitle else ""))
        lines += [f"{section.heading}: {' '.join(section.lines)}" for section in card.sections]
        lines += [card.link] if card.link else []
    text = "\n".join(lines)
    return text if len(text) <= _LONGEST_CHAT else text[: _LONGEST_CHAT - 1] + "…"


def _card(card: Card) -> Iterator[str]:
    yield _wrapped(f"{card.badge}: {card.title}" + (f"\n{card.subtitle}" if card.subtitle else ""))
    for section in card.sections:
        yield f"{section.heading}\n" + "\n".join(_wrapped(line, "  ") for line in section.lines)
    if card.facts:
        widest = max(len(name) for name, _ in card.facts)
        yield "\n".join(f"{name:<{widest}}  {value}" for name, value in card.facts)
    if card.link:
        yield card.link


def _wrapped(text: str, indent: str = "") -> str:
    return "\n".join(
        textwrap.fill(
            line,
            _WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.split("\n")
    )
