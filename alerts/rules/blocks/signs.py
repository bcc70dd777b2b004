"""Pure: several symptoms of one fault, each with its interval, merged into one finding."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from alerts.model import Instant, Severity
from alerts.rules.rule import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One symptom and its interval; `until` is None while it holds."""

    severity: Severity
    message: str
    since: Instant
    until: Instant | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def together(signs: Iterable[Sign], over: Instant | None) -> Finding | None:
    """Merge the newest group of touching symptoms; None if there are none.

    The finding has the highest severity among them and the words of that symptom. What still holds when
    the shipment is over ends then.
    """
    group: list[Sign] = []
    end: float = 0
    for sign in sorted(signs, key=lambda sign: sign.since):
        if sign.since > end:
            group = []
        group.append(sign)
        ends = float("inf") if sign.until is None else sign.until
        end = ends if len(group) == 1 else max(end, ends)
    if not group:
        return None
    first = max(group, key=lambda sign: (sign.severity is Severity.CRITICAL, sign.until is None, sign.since))
    details = {name: value for sign in group for name, value in sign.details.items()}
    holds = any(sign.until is None for sign in group)
    return Finding(
        severity=first.severity,
        message=first.message,
        since=group[0].since,
        until=over if holds else int(end),
        details={**details, **first.details},
    )
