"""Pure: flood control: what one recipient would get too much of becomes a digest."""

from alerts.escalation.policy import Flood
from alerts.model import SECOND, Duration, Severity

DIGEST_AFTER: dict[Severity, Duration] = {Severity.CRITICAL: 60 * SECOND, Severity.MAJOR: 300 * SECOND}
"""How long a digest waits for what else comes."""


def is_flood(flood: Flood, told_before: int) -> bool:
    """Return whether one more message would be too many, after so many within the policy's time."""
    return told_before >= flood.count
