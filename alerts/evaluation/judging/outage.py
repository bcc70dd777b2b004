"""Pure: much of the fleet is silent at once, which is one alert and not one for each shipment."""

from dataclasses import dataclass, replace
from typing import Final

from alerts import wording
from alerts.model import SECOND, AlertKind, Condition, Duration, Instant, Severity, to_datetime
from alerts.triage.alert import Alert

SUBJECT: Final = "signal_lost:fleet"
GRACE_S: Final = "held_back_after_s"
"""The detail that says for how long single alerts are held back after the end."""
STANDS_FOR_SINGLES: Final = f"""EXISTS (
    SELECT FROM alerts WHERE shipment_id IS NULL AND subject = '{SUBJECT}' AND NOT withdrawn
        AND (until IS NULL OR until BETWEEN clock_timestamp() - (details->>'{GRACE_S}')::float8 * interval '1 second'
            AND clock_timestamp() + interval '1 second')
)"""
"""Whether the fleet's alert covers those of single shipments now, in SQL.

One that ended in the future does not: a clock that was ahead must not keep silent who is silent.
"""
LOOK_AGAIN_AFTER: Final[Duration] = 300 * SECOND
"""When to look again at a shipment whose silence is held back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageThresholds:
    """The thresholds of an outage, as opposed to the silence of single loggers."""

    least_loggers: int = 20
    """At least this many must be silent at once: fewer alerts can be read one by one."""
    share: float = 0.5
    """The share of live loggers that must be silent: then the network that carries their readings is down,
    not they."""
    ends_below: float = 0.25
    """Below this share readings flow again."""
    grace_s: float = 600.0
    """Grace period after the end, before loggers that stay silent are reported one by one."""


DEFAULT_THRESHOLDS: Final = OutageThresholds()


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSilence:
    """How much of the fleet is silent, out of the loggers on active shipments without an announced silence."""

    live: int
    silent: int
    shipments: int
    """The number of shipments with a silent logger."""
    newest: Instant | None
    """The newest reading of any silent logger; None if none is silent."""

    @property
    def share(self) -> float:
        """The share of loggers that is silent."""
        return self.silent / self.live if self.live else 0.0


def fleet_condition(
    fleet: FleetSilence, alert: Alert | None, now: Instant, outage: OutageThresholds = DEFAULT_THRESHOLDS
) -> Condition | None:
    """Return what the fleet's alert must follow; None if nothing has changed."""
    is_raised = alert is not None and alert.condition.holds
    if not is_raised:
        begins = fleet.silent >= outage.least_loggers and fleet.share >= outage.share
        since = now if fleet.newest is None else fleet.newest
        return _condition(fleet, since, outage) if begins else None
    assert alert is not None
    if fleet.share < outage.ends_below:
        return replace(alert.condition, until=max(now, alert.condition.since))
    reported = alert.condition.details.get("shipments", 0)
    # Each change is a revision: who knows of 4,800 need not hear of 4,801.
    has_grown = fleet.shipments > 1.2 * reported
    return _condition(fleet, alert.condition.since, outage) if has_grown else None


def _condition(fleet: FleetSilence, since: Instant, outage: OutageThresholds) -> Condition:
    return Condition(
        subject=SUBJECT,
        kind=AlertKind.SIGNAL_LOST,
        severity=Severity.CRITICAL,
        device_id=None,
        message=(
            f"No readings from {fleet.silent} of {fleet.live} loggers, on {fleet.shipments} shipments, since "
            f"{wording.time(to_datetime(since))}: what carries them may be away. Single alerts are held back"
        ),
        since=since,
        details={
            "shipments": fleet.shipments,
            "silent_loggers": fleet.silent,
            "live_loggers": fleet.live,
            "held_back": "single alerts for silence, until readings flow again",
            GRACE_S: outage.grace_s,
        },
    )
