"""The excursions of a shipment as the event of its delivery tells of them; `api.http.schemas.events` describes it to others."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import SECOND
from alerts.views.taken_away import Figures, TakenAway, live_counts, taken_away


async def excursions_data(connection: AsyncConnection, shipment_id: str) -> dict[str, Any]:
    """Return how many excursions are on record of a shipment, and what people took away of it."""
    found = await taken_away(connection, shipment_id)
    return {
        **await live_counts(connection, shipment_id),
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
