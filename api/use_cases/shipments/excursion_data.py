"""The excursions of a shipment as the event of its delivery tells of them; `api.http.schemas.events` describes it to others."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import SECOND
from alerts.views.taken_away import Figures, TakenAway, live_figures, taken_away


async def excursions_data(
    connection: AsyncConnection, shipment_id: str, delivered_at: datetime
) -> dict[str, Any]:
    """Return what is on record of a shipment's excursions, all together, and what people took away of it."""
    found = await taken_away(connection, shipment_id)
    return {
        **await live_figures(connection, shipment_id, delivered_at),
        "withdrawn_by_people": _figures([one for one in found if one.withdrawn]),
        "lessened_by_people": _figures([one for one in found if not one.withdrawn]),
    }


def _figures(found: Sequence[TakenAway]) -> dict[str, Any]:
    figures = Figures.of(found)
    names = ("number", "worst_severity", "highest_c", "lowest_c")
    lasted = figures.lasted
    return {name: getattr(figures, name) for name in names} | {
        "lasted_s": lasted / SECOND if lasted % SECOND else lasted // SECOND,
        "by": list(figures.by),
    }
