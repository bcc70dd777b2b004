"""Pure: when a battery is low, for the rule `low_battery` and for the list of loggers."""

from typing import Final

LOW_PCT: Final = 20.0
"""Lithium cells hold their voltage down to about 10 % and then fall within hours; a fifth leaves time for a change."""
RECOVERS_PCT: Final = 5.0
"""How far above the level a battery must rise to count as charged: a warm one shows a few percent more."""


def is_low(pct: float | None, level_pct: float = LOW_PCT, *, at_level: bool) -> bool:
    """Return whether a battery is low; with `at_level` also at exactly the level, as in the rule but not in the list.

    The list judges the newest level alone. The rule stays active until the battery has recovered by `RECOVERS_PCT`.
    """
    return pct is not None and (pct <= level_pct if at_level else pct < level_pct)
