"""Who held a logger or a dewar at an instant: the question on which the rights of those who are not operators rest."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Text, case, cast, column, func, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.registry.holding.things import Thing, covers
from telemetry.tables import Instant, shipments


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """By what a thing is held: a shipment, or a loan where `shipment_id` is None; and whose that is."""

    shipment_id: str | None
    organization: str | None


async def holder_at(connection: AsyncConnection, thing: Thing, id_: str, at: datetime) -> Held | None:
    """Return who held a thing at an instant; None if nobody but the operating organization, or there is no such thing."""
    return (await holders_at(connection, thing, [(id_, at)])).get((id_, at))


async def holders_at(
    connection: AsyncConnection, thing: Thing, moments: Collection[tuple[str, datetime]]
) -> Mapping[tuple[str, datetime], Held]:
    """Return who held each thing at its instant, in one query; left out is what nobody but the operator held."""
    assigned, loan = thing.assignments, thing.loans
    ids, instants = [id_ for id_, _ in moments], [at for _, at in moments]
    asked = (
        func.unnest(cast(ids, ARRAY(Text)), cast(instants, ARRAY(Instant)))
        .table_valued(column("id", Text), column("at", Instant))
        .render_derived("asked")
    )
    on = (
        select(shipments.c.shipment_id, shipments.c.organization)
        .join_from(assigned, shipments, shipments.c.shipment_id == assigned.c.shipment_id)
        .where(assigned.c[thing.key] == asked.c.id, covers(assigned, asked.c.at))
        .limit(1)
        .lateral("on_shipment")
    )
    lent = (
        select(loan.c.organization)
        .where(loan.c[thing.key] == asked.c.id, covers(loan, asked.c.at))
        .limit(1)
        .lateral("lent")
    )
    is_on = on.c.shipment_id.is_not(None)
    query = (
        select(
            asked.c.id,
            asked.c.at,
            on.c.shipment_id,
            case((is_on, on.c.organization), else_=lent.c.organization).label("organization"),
        )
        .select_from(asked.outerjoin(on, true()).outerjoin(lent, true()))
        .where(is_on | lent.c.organization.is_not(None))
    )
    return {
        (row.id, row.at): Held(shipment_id=row.shipment_id, organization=row.organization)
        for row in await connection.execute(query)
    }
