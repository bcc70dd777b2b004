"""Pure: refuses acts whose reason says nothing; `telemetry.reasons` is the rule."""

from api.refusals import Invalid
from telemetry import reasons


def stated(reason: str | None, field: str = "reason") -> str:
    """Return the reason of an act that needs one, trimmed; refuse one that says nothing."""
    if not reasons.says_why(reason):
        raise Invalid(field, reasons.wanted(reason))
    return reasons.trimmed(reason)


def stated_if_given(reason: str | None) -> str | None:
    """Return a reason that may be left out, trimmed; refuse one that is there and says nothing."""
    return None if reason is None else stated(reason)
