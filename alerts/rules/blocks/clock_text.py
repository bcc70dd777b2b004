"""Pure: prints instants of journey time as the clock shows them, which is what people are told."""

from zoneinfo import ZoneInfo

from alerts import wording
from alerts.model import Instant
from alerts.rules.facts import Facts


def clock_text(facts: Facts, at: Instant, zone: ZoneInfo | None = None) -> str:
    """Return an instant of journey time for a sentence; with a zone, in its local time as well."""
    return wording.instant(facts.to_clock_time(at), zone)


def clock_detail(facts: Facts, at: Instant) -> str | None:
    """Return an instant of journey time for the details of a finding."""
    return wording.instant_text(facts.to_clock_time(at))
