"""What people do to alerts and incidents over HTTP: from the body of a call to the step that it asks for, once for both."""

from functools import partial
from typing import TypeAlias

from alerts.model import to_instant
from alerts.triage import actions
from alerts.triage.act import Step
from alerts.triage.actions import Refused
from api.http.problems import Problem, invalid
from api.http.schemas.alerts import AlertAssigned, AlertResolved, AlertSnoozed, AlertTaken

Deed: TypeAlias = AlertTaken | AlertAssigned | AlertSnoozed | AlertResolved
"""A body that says what to do to an alert, or to all of an incident."""


def step_of(deed: Deed) -> tuple[Step, str | None]:
    """Give what is to be done, and what was said with it."""
    match deed:
        case AlertTaken():
            return partial(actions.acknowledge, owner=deed.owner), deed.note
        case AlertAssigned():
            return partial(actions.assign, owner=deed.owner), deed.note
        case AlertSnoozed():
            until = None if deed.until is None else to_instant(deed.until)
            return partial(actions.snooze, until=until), deed.reason
        case AlertResolved():
            return actions.resolve, deed.reason


def refused(refused: Refused) -> Problem:
    """Say why a step makes no sense."""
    return Problem(409, refused.why) if refused.field is None else invalid(refused.field, refused.why)
