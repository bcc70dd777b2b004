"""What must be in order before something travels: calibrations and qualifications that last for the whole planned way.

What is not is refused, or accepted with a reason, and then it stays in sight with the shipment. A departure is never
refused, since the box has left: what is not in order then is put on record without a reason.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.wording import rfc3339
from api.refusals import Conflict
from api.use_cases.reasons import stated
from telemetry.actor import Actor
from telemetry.tables import device_assignments, devices, dewars

FIELD = "override_reason"


class Gate(StrEnum):
    """What was not in order."""

    CALIBRATION = "calibration"
    """The calibration of a logger."""
    QUALIFICATION = "qualification"
    """The qualification of a dewar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A thing that is not in order for all of a shipment's way."""

    gate: Gate
    id_: str
    due_at: datetime
    needed_until: datetime

    def told(self) -> str:
        """Return it as a sentence without its end."""
        whose = f"Logger {self.id_}" if self.gate is Gate.CALIBRATION else f"Dewar {self.id_}"
        return (
            f"The {self.gate} of {whose[0].lower()}{whose[1:]} ends at {rfc3339(self.due_at)}, and it is needed until "
            f"{rfc3339(self.needed_until)}"
        )

    def is_known(self, overrides: Iterable[Mapping[str, Any]]) -> bool:
        """Return whether somebody has accepted it before."""
        own = (self.gate, self.id_, rfc3339(self.due_at))
        return any((one["gate"], one["id"], one["due_at"]) == own for one in overrides)


async def passed(
    connection: AsyncConnection,
    shipment: Mapping[str, Any] | RowMapping,
    device_ids: Collection[str],
    dewar_id: str | None,
    *,
    override_reason: str | None,
    actor: Actor,
    now: datetime,
    refuses: bool = True,
) -> list[Mapping[str, Any]]:
    """Return all that was accepted of a shipment although it is not in order; refuse what nobody gives a reason for.

    `shipment` has its planned times and what was accepted before, as its row does.
    """
    known = list(shipment.get("overrides") or ())
    found = await _findings(connection, device_ids, dewar_id, _needed_until(shipment, now))
    new = [one for one in found if not one.is_known(known)]
    if not new:
        return known
    if override_reason is None and refuses:
        told = "; ".join(one.told() for one in new)
        raise Conflict(f"{told}. Take another one, or say in {FIELD} why it is used all the same.")
    reason = None if override_reason is None else stated(override_reason, FIELD)
    return known + [
        {
            "gate": one.gate,
            "id": one.id_,
            "due_at": rfc3339(one.due_at),
            "needed_until": rfc3339(one.needed_until),
            "reason": reason,
            "by": str(actor),
            "at": rfc3339(now),
        }
        for one in new
    ]


async def on_board(connection: AsyncConnection, shipment_id: str) -> list[str]:
    """Return the loggers that are on a shipment now."""
    on = device_assignments.c
    query = select(on.device_id).where(on.shipment_id == shipment_id, on.ends_at.is_(None))
    return list((await connection.scalars(query)).all())


def _needed_until(shipment: Mapping[str, Any] | RowMapping, now: datetime) -> datetime:
    """Return the end of the planned way; of one that is over, its end; at least the present or the planned departure."""
    delivered_at = shipment.get("delivered_at")
    if isinstance(delivered_at, datetime):
        return delivered_at
    legs = (leg["planned_arrival"] for leg in shipment["legs"])
    arrivals = [datetime.fromisoformat(at) for at in legs if at is not None]
    planned = (shipment["planned_departure"], shipment["planned_arrival"], *arrivals)
    latest: datetime = max([now, *(at for at in planned if at is not None)])
    return latest


async def _findings(
    connection: AsyncConnection, device_ids: Collection[str], dewar_id: str | None, until: datetime
) -> list[Finding]:
    loggers = await _due(connection, devices.c.device_id, devices.c.calibration_due, device_ids, until)
    shippers = await _due(
        connection, dewars.c.dewar_id, dewars.c.qualified_until, [] if dewar_id is None else [dewar_id], until
    )
    return [
        Finding(gate=gate, id_=id_, due_at=due_at, needed_until=until)
        for gate, found in ((Gate.CALIBRATION, loggers), (Gate.QUALIFICATION, shippers))
        for id_, due_at in found
    ]


async def _due(
    connection: AsyncConnection,
    id_: ColumnElement[str],
    due_at: ColumnElement[datetime | None],
    ids: Collection[str],
    until: datetime,
) -> list[tuple[str, datetime]]:
    if not ids:
        return []
    query = select(id_, due_at).where(id_.in_(ids), due_at < until).order_by(id_)
    return [(row[0], row[1]) for row in await connection.execute(query) if row[1] is not None]
