"""Pure: several symptoms of one fault, each with its interval, merged into one finding."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from alerts.model import Instant, Severity
from alerts.rules.rule import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """One symptom and its interval; `until` is None while it holds."""

    severity: Severity
    message: str
    since: Instant
    until: Instant | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def merge_symptoms(symptoms: Iterable[Symptom], shipment_ended_at: Instant | None) -> Finding | None:
    """Merge the newest group of touching symptoms; None if there are none.

    The finding has the highest severity among them and the words of that symptom. What still holds when
    the shipment is over ends then.
    """
    group: list[Symptom] = []
    end: float = 0
    for symptom in sorted(symptoms, key=lambda symptom: symptom.since):
        if symptom.since > end:
            group = []
        group.append(symptom)
        ends = float("inf") if symptom.until is None else symptom.until
        end = ends if len(group) == 1 else max(end, ends)
    if not group:
        return None
    first = max(
        group,
        key=lambda symptom: (symptom.severity is Severity.CRITICAL, symptom.until is None, symptom.since),
    )
    details = {name: value for symptom in group for name, value in symptom.details.items()}
    holds = any(symptom.until is None for symptom in group)
    return Finding(
        severity=first.severity,
        message=first.message,
        since=group[0].since,
        until=shipment_ended_at if holds else int(end),
        details={**details, **first.details},
    )
