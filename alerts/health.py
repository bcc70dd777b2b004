"""The health of a shipment, as one expression that lists show and filter by."""

from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, Double, and_, case, cast, exists, func, literal, not_, or_, select

from alerts.alert import AlertState
from alerts.model import LIVE, ExcursionState, Severity
from alerts.tables import alerts, excursions
from telemetry.tables import device_assignments, device_states, shipments


class Health(StrEnum):
    """What needs attention now, worst first."""

    CRITICAL = "critical"
    """An open excursion beyond the critical limit, or an alert of that severity that has not ended."""
    WARNING = "warning"
    """Any other open excursion, or alert that has not ended."""
    NO_SIGNAL = "no_signal"
    """On its way, and of one of its loggers nothing came for longer than a reading holds (`max_gap_s`),
    unless that logger announced the silence."""
    NORMAL = "normal"


SIGNAL_LOST = "signal_lost"
"""The kind of alert that is about silence, which is a state of its own and not a warning."""


def health(now: datetime) -> ColumnElement[str]:
    """Give the health of each row of `shipments` at `now`."""
    return case(
        (or_(_open_excursion(Severity.CRITICAL), _live_alert(Severity.CRITICAL)), literal(Health.CRITICAL)),
        (or_(_open_excursion(), _live_alert()), literal(Health.WARNING)),
        (_silent(now), literal(Health.NO_SIGNAL)),
        else_=literal(Health.NORMAL),
    )


def _open_excursion(severity: Severity | None = None) -> ColumnElement[bool]:
    conditions = [
        excursions.c.shipment_id == shipments.c.shipment_id,
        excursions.c.state == ExcursionState.OPEN,
    ]
    if severity is not None:
        conditions.append(excursions.c.severity == severity)
    return exists().where(*conditions)


def _live_alert(severity: Severity | None = None) -> ColumnElement[bool]:
    conditions = [
        alerts.c.shipment_id == shipments.c.shipment_id,
        alerts.c.state != AlertState.RESOLVED,
        alerts.c.kind != SIGNAL_LOST,
    ]
    if severity is not None:
        conditions.append(alerts.c.severity == severity)
    return exists().where(*conditions)


def _silent(now: datetime) -> ColumnElement[bool]:
    on, state = device_assignments, device_states
    longest = cast(shipments.c.plan["max_gap_s"].astext, Double) * literal(timedelta(seconds=1))
    heard = func.greatest(state.c.last_received_at, shipments.c.departed_at, shipments.c.created_at)
    announced = func.coalesce(state.c.flight_mode_until > now, False)
    silent = exists().where(
        on.c.shipment_id == shipments.c.shipment_id,
        on.c.device_id == state.c.device_id,
        heard < literal(now) - longest,
        not_(announced),
    )
    return and_(shipments.c.status == "in_transit", silent)


def open_excursions() -> ColumnElement[int]:
    """Give how many excursions of each row of `shipments` go on."""
    here = excursions.c.shipment_id == shipments.c.shipment_id
    return (
        select(func.count())
        .select_from(excursions)
        .where(here, excursions.c.state == ExcursionState.OPEN)
        .scalar_subquery()
    )


def worst_severity() -> ColumnElement[str]:
    """Give the worst severity of the live excursions of each row of `shipments`; null where it has none."""
    # "critical" comes before "major" in the alphabet too.
    here = excursions.c.shipment_id == shipments.c.shipment_id
    return select(func.min(excursions.c.severity)).where(here, excursions.c.state.in_(LIVE)).scalar_subquery()
