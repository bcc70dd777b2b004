"""Tells of a database that went back, in the transaction that notices it."""

from typing import Any
from uuid import uuid4

from alerts import wording
from alerts.events.outbox import RESTORED
from alerts.events.write import WRITE_EVENTS, EventScope
from alerts.model import AlertKind, Condition, Severity, to_instant
from alerts.triage.alert import follow
from alerts.triage.store import save_steps
from alerts.work.bulk import Connection, execute
from telemetry.continuity.pulse import Restoration

_DO = {
    "went_back": (
        "Events after `went_back_to` that you hold may be unknown here, and their ids may come again for others: read the "
        "lists again."
    ),
    "another_server": (
        "The database runs on another server than before: if it was restored there, events after `went_back_to` that you "
        "hold may be unknown here. Read the lists again."
    ),
}


async def tell(connection: Connection, found: Restoration) -> None:
    """Raise the alert of our own, and write the event for stream and webhooks."""
    now = to_instant(found.noticed_at)
    steps = follow(None, None, condition_of(found), now, lambda: str(uuid4()))
    await save_steps(connection, [(EventScope(), step) for step in steps], now)
    await execute(connection, [(WRITE_EVENTS, [EventScope().event(RESTORED, event_data(found))])])


def condition_of(found: Restoration) -> Condition:
    """Return the condition of the alert: it holds until somebody has seen to it."""
    is_certain = found.evidence == "went_back"
    return Condition(
        subject=f"{AlertKind.RECORD_RESTORED}:{found.incarnation}",
        kind=AlertKind.RECORD_RESTORED,
        severity=Severity.CRITICAL if is_certain else Severity.MAJOR,
        device_id=None,
        message=_message(found),
        since=to_instant(found.noticed_at),
        details={
            "evidence": found.evidence,
            "went_back_to": None if found.went_back_to is None else wording.rfc3339(found.went_back_to),
            "known_until": wording.rfc3339(found.known_until),
        },
    )


def _message(found: Restoration) -> str:
    if found.evidence == "another_server":
        return (
            "The database runs on another server than before: if an older copy was restored there, what was recorded "
            f"after {wording.time(found.known_until)} is not in it"
        )
    until = f"what was recorded until {wording.time(found.known_until)}"
    if found.went_back_to is None:
        return f"The database is another one, or was set back to long ago: {until} is not in it"
    lost = wording.duration(max(0, to_instant(found.known_until) - to_instant(found.went_back_to)))
    return (
        f"The database went back to {wording.time(found.went_back_to)}: {until} is not in it any more, about {lost}. "
        "Loggers are asked to send again what they still have"
    )


def event_data(found: Restoration) -> dict[str, Any]:
    """Return the data of the event."""
    return {
        "id": str(found.incarnation),
        "evidence": found.evidence,
        "went_back_to": None if found.went_back_to is None else wording.rfc3339(found.went_back_to),
        "known_until": wording.rfc3339(found.known_until),
        "noticed_at": wording.rfc3339(found.noticed_at),
        "message": _DO[found.evidence],
    }
