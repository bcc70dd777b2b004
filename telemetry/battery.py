"""Pure: a weak battery: from which level on, for the rule `low_battery` and for the list of loggers."""

from typing import Final

LOW_PCT: Final = 20.0
"""Lithium cells hold their voltage to some 10 % and then fall within hours; a fifth leaves time to have it changed."""
RECOVERS_PCT: Final = 5.0
"""So far above its level a battery must come to count as charged: in the warm it shows a few percent more."""


def is_low(pct: float | None, level_pct: float = LOW_PCT, *, at_level: bool) -> bool:
    """Tell whether a battery is low; `at_level`: also at the level itself, as the rule has it and the list has not.

    The list shows the newest level as it is. The rule goes on until the battery has recovered by `RECOVERS_PCT`.
    """
    return pct is not None and (pct <= level_pct if at_level else pct < level_pct)
