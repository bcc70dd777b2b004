"""Pure: how a temperature, a time, a duration and a name are printed; one way each, wherever people read them."""

from datetime import datetime
from zoneinfo import ZoneInfo

from alerts.model import SECOND, Act, Duration, Instant, to_datetime
from telemetry.actor import Actor, ActorKind


def temperature(celsius: float) -> str:
    """Print `−150 °C` or `−128.1 °C`: rounded to tenths, without a zero at the end, with a true minus sign."""
    tenths = round(celsius, 1) or 0.0  # never "−0"
    return f"{tenths:.1f}".removesuffix(".0").replace("-", "−") + " °C"


def person(name: str) -> str:
    """Print an owner's name: `Kim Lee`, also where it is stored as `user:Kim Lee`, or `key dw_1f0c93ab`."""
    actor = Actor.parse(name)
    if actor is None or not actor.is_person:
        return name
    return f"key {actor.name}" if actor.kind is ActorKind.KEY else actor.name


_STEPS = {
    "created": "the shipment was planned",
    "departed": "the departure was recorded",
    "delivered": "the delivery was recorded",
    "cancelled": "the shipment was cancelled",
    "plan_changed": "the plan was changed",
    "schedule_changed": "the schedule was changed",
    "corrected": "its times were corrected",
    "loggers_changed": "its loggers were changed",
    "dewar_changed": "it was moved to another shipper",
    "clock_corrected": "a logger's clock was corrected",
}


def act(done: Act) -> str:
    """Print what somebody did, and why: `the plan was changed by key dw_1f0c93ab at 2026-11-21 03:45 UTC: …`."""
    step = _STEPS.get(done.step, done.step.replace("_", " "))
    why = "no reason was given" if done.reason is None else f"“{done.reason}”"
    return f"{step} by {person(done.by)} at {time(to_datetime(done.at))}: {why}"


def time(when: datetime) -> str:
    """Print `2026-11-21 03:45 UTC`."""
    return f"{when:%Y-%m-%d %H:%M} UTC"


def rfc3339(time: datetime) -> str:
    """Print a UTC time with `Z`, to the microsecond where it has any."""
    return time.isoformat().replace("+00:00", "Z")


def instant_text(instant: Instant | None) -> str | None:
    """Print an instant as `rfc3339` prints a time; None stays None."""
    return None if instant is None else rfc3339(to_datetime(instant))


def instant(when: Instant, zone: ZoneInfo | None = None) -> str:
    """Print an instant as `time` does. With a zone, add its local time: `… UTC (Sun 23:45 America/New_York)`."""
    utc = to_datetime(when)
    return time(utc) + ("" if zone is None else _local_time(utc, zone))


def _local_time(utc: datetime, zone: ZoneInfo) -> str:
    try:
        return f" ({utc.astimezone(zone):%a %H:%M} {zone.key})"
    except OverflowError:  # past the last day that there is, as for a plan without an end
        return ""


def on_it(name: str, since: Instant, zone: ZoneInfo | None = None) -> str:
    """Print who is responsible for something, and since when."""
    return f"{person(name)} is on it, since {instant(since, zone)}."


def duration(length: Duration) -> str:
    """Print the two largest units: `3 h 05 min`, `4 min 10 s`, `7 s`. The second one is left out where it is zero: `5 min`."""
    seconds = round(length / SECOND)
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d" + (f" {hours:02} h" if hours else "")
    if hours:
        return f"{hours} h" + (f" {minutes:02} min" if minutes else "")
    if minutes:
        return f"{minutes} min" + (f" {seconds % 60:02} s" if seconds % 60 else "")
    return f"{seconds} s"
