"""Pure: flood control: too many messages to one recipient become a digest."""

from alerts.escalation.policy import Flood
from alerts.model import SECOND, Duration, Severity

DIGEST_AFTER: dict[Severity, Duration] = {Severity.CRITICAL: 0, Severity.MAJOR: 300 * SECOND}
"""How long a digest waits for further messages; one with something critical waits for nothing but its turn."""


def is_flood(flood: Flood, told_before: int) -> bool:
    """Return whether one more message would be too many, given how many were sent within the policy's time."""
    return told_before >= flood.count
