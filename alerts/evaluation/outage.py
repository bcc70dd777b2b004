"""Pure: silence of much of the fleet at once, which is one alert and not one for each shipment."""

from dataclasses import dataclass, replace
from typing import Final

from alerts import wording
from alerts.model import SECOND, AlertKind, Condition, Duration, Instant, Severity, to_datetime
from alerts.triage.alert import Alert

SUBJECT: Final = "signal_lost:fleet"
GRACE_S: Final = "held_back_after_s"
"""The detail that says for how long single alerts are held back after the end, whoever reads it."""
STANDS_FOR_SINGLES: Final = f"""EXISTS (
    SELECT FROM alerts WHERE shipment_id IS NULL AND subject = '{SUBJECT}' AND NOT withdrawn
        AND (until IS NULL OR until > clock_timestamp() - (details->>'{GRACE_S}')::float8 * interval '1 second')
)"""
"""Whether the alert for the fleet stands for those of single shipments now, in SQL."""
LOOK_AGAIN_AFTER: Final[Duration] = 300 * SECOND
"""At a shipment whose silence is held back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What is an outage of much of the fleet, and not the silence of single loggers."""

    least_loggers: int = 20
    """So many must be silent at once: fewer alerts than these can be read one by one."""
    share: float = 0.5
    """Of the loggers that should be heard: where so many are silent, what carries their readings is away, not they."""
    ends_below: float = 0.25
    """Once fewer than these are silent, readings flow again."""
    grace_s: float = 600.0
    """After the end, until loggers that stay silent are told of one by one."""


USUAL: Final = Outage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """How much of the fleet is heard: of its loggers on shipments under way, that have not announced a silence."""

    live: int
    silent: int
    shipments: int
    """Those with a silent logger."""
    newest: Instant | None
    """The newest reading of any silent logger; None where none is silent."""

    @property
    def share(self) -> float:
        """Give how large a part is silent."""
        return self.silent / self.live if self.live else 0.0


def fleet_condition(
    hearing: Hearing, alert: Alert | None, now: Instant, outage: Outage = USUAL
) -> Condition | None:
    """Give what the fleet's alert has to follow; None where nothing has changed."""
    on = alert is not None and alert.condition.holds
    if not on:
        begins = hearing.silent >= outage.least_loggers and hearing.share >= outage.share
        since = now if hearing.newest is None else hearing.newest
        return _condition(hearing, since, outage) if begins else None
    assert alert is not None
    if hearing.share < outage.ends_below:
        return replace(alert.condition, until=max(now, alert.condition.since))
    told = alert.condition.details.get("shipments", 0)
    # Each change is a revision: who is told of 4,800 need not hear of 4,801.
    grown = hearing.shipments > 1.2 * told
    return _condition(hearing, alert.condition.since, outage) if grown else None


def _condition(hearing: Hearing, since: Instant, outage: Outage) -> Condition:
    return Condition(
        subject=SUBJECT,
        kind=AlertKind.SIGNAL_LOST,
        severity=Severity.CRITICAL,
        device_id=None,
        message=(
            f"No readings from {hearing.silent} of {hearing.live} loggers, on {hearing.shipments} shipments, since "
            f"{wording.time(to_datetime(since))}: what carries them may be away. Single alerts are held back"
        ),
        since=since,
        details={
            "shipments": hearing.shipments,
            "silent_loggers": hearing.silent,
            "live_loggers": hearing.live,
            "held_back": "single alerts for silence, until readings flow again",
            GRACE_S: outage.grace_s,
        },
    )
