"""What people do about a logger whose clock was wrong: they correct the times of its readings, and take that back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

import asyncpg
from sqlalchemy import RowMapping, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.wording import rfc3339
from api.identity.access import Principal
from api.refusals import Conflict, Invalid, NotFound
from api.use_cases.reasons import stated
from api.use_cases.registry.registering import DEVICE
from api.use_cases.shipments.steps import tell
from telemetry.actor import Actor
from telemetry.corrections import apply as corrections
from telemetry.corrections.apply import (
    ImpossibleTimeError,
    NothingToCorrectError,
    TimesTakenError,
    TooManyReadingsError,
)
from telemetry.corrections.clock_correction import ClockCorrection, OfWhich
from telemetry.paging import Page, SortOrder, fetch_page
from telemetry.registry import shipment_revisions, shipments
from telemetry.registry.holding import things
from telemetry.registry.holding.things import LOGGERS
from telemetry.registry.shipment_revisions import ShipmentStep
from telemetry.tables import clock_corrections as table
from telemetry.tables import device_assignments

ORDER: Final = SortOrder(columns=(table.c.recorded_at, table.c.id), descending=True)
_SHOWN: Final = 3


async def correct(
    connection: AsyncConnection,
    caller: Principal,
    correction: ClockCorrection,
    *,
    actor: Actor,
    reason: str,
) -> tuple[RowMapping, bool]:
    """Correct the times of a logger's readings; return the correction, and whether it is new.

    What was refused for its time is taken up; what was stored with the wrong time is moved, and stays on record as it was. All
    shipments that either touches are judged again. The same again changes nothing, as long as nothing has come meanwhile.
    """
    reason = stated(reason)
    _stop_if_senseless(correction)
    touched = await _Touched.lock(connection, correction.device_id, actor, reason)
    await DEVICE.lock(connection, caller, correction.device_id)
    try:
        applied = await corrections.apply(
            await _driver(connection), correction, by=str(actor), reason=reason, before=touched.note
        )
    except NothingToCorrectError:
        same = await _same(connection, correction)
        if same is None:
            raise Conflict(
                f"Logger {correction.device_id} has no readings there that could be corrected, neither stored nor refused for "
                "their time: look at GET /v1/rejected for the times that it sent."
            ) from None
        return same, False
    except TooManyReadingsError:
        raise Conflict(
            f"There are more than {corrections.AT_MOST} readings in that stretch: correct it in parts."
        ) from None
    except ImpossibleTimeError as error:
        to = "a time that no calendar has" if error.corrected is None else rfc3339(error.corrected)
        raise Invalid(
            "offset_s", f"does not fit: {rfc3339(error.sent_at)} would become {to}, which cannot be either"
        ) from None
    except TimesTakenError as error:
        raise _taken(correction.device_id, error) from None
    await touched.tell(applied.id, is_reversed=False)
    return await _get(connection, correction.device_id, applied.id), True


async def reverse(
    connection: AsyncConnection,
    caller: Principal,
    device_id: str,
    correction_id: UUID,
    *,
    actor: Actor,
    reason: str,
) -> RowMapping:
    """Take a correction back: its readings are where they were before, and shipments are judged again.

    The same again changes nothing.
    """
    reason = stated(reason)
    touched = await _Touched.lock(connection, device_id, actor, reason)
    await DEVICE.lock(connection, caller, device_id)
    row = await _get(connection, device_id, correction_id)
    if row["reversed_at"] is None:
        try:
            await corrections.reverse(
                await _driver(connection),
                device_id,
                correction_id,
                by=str(actor),
                reason=reason,
                before=touched.note,
            )
        except TimesTakenError as error:
            raise _taken(device_id, error) from None
        await touched.tell(correction_id, is_reversed=True)
    return await _get(connection, device_id, correction_id)


async def page(
    connection: AsyncConnection, caller: Principal, device_id: str, *, after: Sequence[Any] | None, limit: int
) -> Page:
    """Load a page of a logger's corrections, the latest first."""
    await DEVICE.get(connection, caller, device_id)
    query = select(table).where(table.c.device_id == device_id)
    return await fetch_page(connection, query, ORDER, after=after, limit=limit)


@dataclass(slots=True, kw_only=True)
class _Touched:
    """The shipments that a logger is or was on, locked before the logger, and those whose readings a correction touches."""

    connection: AsyncConnection
    device_id: str
    actor: Actor
    reason: str
    stretches: Sequence[RowMapping]
    ids: list[str] = field(default_factory=list)

    @classmethod
    async def lock(cls, connection: AsyncConnection, device_id: str, actor: Actor, reason: str) -> Self:
        on = device_assignments.c
        query = select(on.shipment_id, on.starts_at, on.ends_at).where(on.device_id == device_id)
        rows = (await connection.execute(query.order_by(on.shipment_id))).mappings().all()
        for row in rows:
            await shipments.lock(connection, row["shipment_id"], true())
        await things.lock(connection, LOGGERS, [device_id])
        return cls(connection=connection, device_id=device_id, actor=actor, reason=reason, stretches=rows)

    async def note(self, spans: Sequence[tuple[datetime, datetime]]) -> None:
        """Write the step down in each shipment that has readings in the spans, before they are changed."""
        self.ids = [
            row["shipment_id"]
            for row in self.stretches
            if any(
                row["starts_at"] <= last and (row["ends_at"] is None or row["ends_at"] > first)
                for first, last in spans
            )
        ]
        for shipment_id in self.ids:
            await shipment_revisions.add(
                self.connection,
                shipment_id,
                step=ShipmentStep.CLOCK_CORRECTED,
                actor=self.actor,
                reason=self.reason,
            )

    async def tell(self, id_: UUID, *, is_reversed: bool) -> None:
        for shipment_id in self.ids:
            row = await shipments.get(self.connection, shipment_id, true())
            assert row is not None
            await tell(
                self.connection,
                "shipment.clock_corrected",
                row,
                by=str(self.actor),
                reason=self.reason,
                device_id=self.device_id,
                correction_id=str(id_),
                reversed=is_reversed,
            )


def _stop_if_senseless(correction: ClockCorrection) -> None:
    if correction.measured_until <= correction.measured_from:
        raise Invalid("measured_until", "is not after measured_from")
    received = correction.received_from, correction.received_until
    if received[0] is not None and received[1] is not None and received[1] <= received[0]:
        raise Invalid("received_until", "is not after received_from")
    if correction.offset is not None and not correction.offset and correction.of_which is not OfWhich.REFUSED:
        raise Invalid(
            "offset_s",
            "is 0, which moves nothing: with of_which refused, it takes up what was refused though its time is right",
        )


def _taken(device_id: str, error: TimesTakenError) -> Conflict:
    shown = ", ".join(rfc3339(at) for at in error.instants[:_SHOWN])
    more = "" if len(error.instants) <= _SHOWN else f" and {len(error.instants) - _SHOWN} more times"
    return Conflict(
        f"Logger {device_id} has other readings of {shown}{more}, which readings would come to lie on: nothing was changed."
    )


async def _driver(connection: AsyncConnection) -> asyncpg.Connection:
    """Return the driver's connection, in the same transaction, which a statement has begun."""
    driver: asyncpg.Connection | None = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    return driver


async def _get(connection: AsyncConnection, device_id: str, id_: UUID) -> RowMapping:
    query = select(table).where(table.c.device_id == device_id, table.c.id == id_)
    row: RowMapping | None = (await connection.execute(query)).mappings().first()
    if row is None:
        raise NotFound("correction", id_)
    return row


async def _same(connection: AsyncConnection, correction: ClockCorrection) -> RowMapping | None:
    """Return the latest correction that holds and says the same."""
    offset_s = None if correction.offset is None else correction.offset.total_seconds()
    query = (
        select(table)
        .where(
            table.c.device_id == correction.device_id,
            table.c.reversed_at.is_(None),
            table.c.offset_s.is_not_distinct_from(offset_s),
            table.c.measured_from == correction.measured_from,
            table.c.measured_until == correction.measured_until,
            table.c.received_from.is_not_distinct_from(correction.received_from),
            table.c.received_until.is_not_distinct_from(correction.received_until),
            table.c.of_which == correction.of_which,
        )
        .order_by(table.c.recorded_at.desc())
        .limit(1)
    )
    row: RowMapping | None = (await connection.execute(query)).mappings().first()
    return row
