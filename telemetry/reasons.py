"""Pure: why people did something: what they give as a reason must say something to whoever reads the record later.

This is the one rule for every act that needs a reason, whoever takes it: HTTP, commands, and the actions on alerts.
"""

import unicodedata
from typing import Final

SHORTEST: Final = 8
"""Characters that a reason has at least. Wide ones, as of Chinese and Japanese, count twice."""
FEWEST_LETTERS: Final = 3
"""Letters that differ from each other, at least: `xxxxxxxx` says nothing."""
_RULE: Final = f"at least {SHORTEST} characters, at least {FEWEST_LETTERS} different letters"
WANTED: Final = f"must say why: {_RULE}"


def trimmed(reason: str | None) -> str:
    """Return a reason without what surrounds it: spaces, line breaks, and characters that nobody sees."""
    return (reason or "").strip().strip("\u200b\u200c\u200d\u2060\ufeff").strip()


def wanted(reason: str | None) -> str:
    """Return what is wrong with a reason that says nothing, so that `f"{field} {text}"` is a sentence."""
    return WANTED if trimmed(reason) else f"is required: {_RULE}"


def says_why(reason: str | None) -> bool:
    """Return whether a reason says something: long enough, and in words."""
    text = trimmed(reason)
    length = sum(2 if unicodedata.east_asian_width(one) in {"W", "F"} else 1 for one in text)
    letters = {one.casefold() for one in text if one.isalpha()}
    return length >= SHORTEST and len(letters) >= FEWEST_LETTERS
