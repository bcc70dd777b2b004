"""The health of a shipment, as one SQL expression that lists show and filter by: what is the matter, and what was."""

from enum import StrEnum
from typing import Final

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    and_,
    case,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
)

from alerts.alert_kinds import kinds_that
from alerts.evaluation.judging.outage import STANDS_FOR_SINGLES
from alerts.model import LIVE, ExcursionState, Severity
from alerts.tables import alerts, excursion_revisions, excursions
from alerts.triage.alert import AlertState
from telemetry.silence import heard_until_sql
from telemetry.tables import device_assignments, device_states, shipments

_NO_SIGNAL: Final = kinds_that(lambda row: row.no_signal)
_HELD_BACK: Final = literal_column(STANDS_FOR_SINGLES, Boolean)
_HEARD_UNTIL: Final = literal_column(
    heard_until_sql(
        "device_states.measured_at",
        "(shipments.plan->>'max_gap_s')::float8 * interval '1 second'",
        "device_states.flight_mode_until",
    ),
    DateTime(timezone=True),
)


class Health(StrEnum):
    """What needs attention now, worst first, and then what happened."""

    CRITICAL = "critical"
    """A critical open excursion, or an open critical alert."""
    WARNING = "warning"
    """Any other open excursion or alert."""
    NO_SIGNAL = "no_signal"
    """One of its loggers has sent nothing for longer than `max_gap_s`, and did not announce it."""
    HAD_EXCURSION = "had_excursion"
    """Nothing is the matter now, and an excursion that is over stands on its record."""
    NORMAL = "normal"


def health() -> ColumnElement[str]:
    """Return the health of each row of `shipments`."""
    return case(
        (or_(_open_excursion(Severity.CRITICAL), _live_alert(Severity.CRITICAL)), literal(Health.CRITICAL)),
        (or_(_open_excursion(), _live_alert()), literal(Health.WARNING)),
        (or_(_live_alert(silence=True), _silent_with_the_fleet()), literal(Health.NO_SIGNAL)),
        (_live_excursion(), literal(Health.HAD_EXCURSION)),
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


def _live_excursion() -> ColumnElement[bool]:
    """Return whether an excursion stands on record, open or closed."""
    return exists().where(excursions.c.shipment_id == shipments.c.shipment_id, excursions.c.state.in_(LIVE))


def _live_alert(severity: Severity | None = None, *, silence: bool = False) -> ColumnElement[bool]:
    """Return whether an alert is open: of silence, which is a state of its own, or of anything else."""
    kind = alerts.c.kind
    conditions = [
        alerts.c.shipment_id == shipments.c.shipment_id,
        alerts.c.state != AlertState.RESOLVED,
        kind.in_(_NO_SIGNAL) if silence else kind.not_in(_NO_SIGNAL),
    ]
    if severity is not None:
        conditions.append(alerts.c.severity == severity)
    return exists().where(*conditions)


def _silent_with_the_fleet() -> ColumnElement[bool]:
    """Return whether one of its loggers is silent while the fleet's alert stands for all shipments."""
    on, last = device_assignments.c, device_states.c
    silent = (
        exists()
        .where(on.shipment_id == shipments.c.shipment_id, on.ends_at.is_(None))
        .where(last.device_id == on.device_id)
        .where(func.clock_timestamp() > _HEARD_UNTIL)
    )
    return and_(shipments.c.status == "in_transit", _HELD_BACK, silent)


def open_excursions() -> ColumnElement[int]:
    """Return the number of open excursions of each row of `shipments`."""
    here = excursions.c.shipment_id == shipments.c.shipment_id
    return (
        select(func.count())
        .select_from(excursions)
        .where(here, excursions.c.state == ExcursionState.OPEN)
        .scalar_subquery()
    )


def taken_away_by_people() -> ColumnElement[int]:
    """Return the number of excursions of each row of `shipments` that an act has withdrawn or made less."""
    acts = excursion_revisions
    return (
        select(func.count(acts.c.excursion_id.distinct()))
        .join(excursions, excursions.c.id == acts.c.excursion_id)
        .where(excursions.c.shipment_id == shipments.c.shipment_id, acts.c.act.is_not(None))
        .scalar_subquery()
    )


def worst_severity() -> ColumnElement[str]:
    """Return the worst severity of the live excursions of each row of `shipments`; null if it has none."""
    # "critical" comes before "major" in the alphabet too.
    here = excursions.c.shipment_id == shipments.c.shipment_id
    return select(func.min(excursions.c.severity)).where(here, excursions.c.state.in_(LIVE)).scalar_subquery()
