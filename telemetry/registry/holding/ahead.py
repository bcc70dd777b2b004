"""What a logger's former holder had it say of a time that had not come: set aside when the logger is on another's shipment then.

A logger may say the time of its own clock, which may be fast by minutes. So whoever hands a logger on could have it speak of
the next holder's first minutes. Such readings are on no shipment yet: they leave the readings, and are kept with what is refused.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.model import RefusalReason

_SHOWN: Final = 20
"""Readings of each logger that are kept in full; there may be a hundred thousand, and nobody looks at them."""

# The service may not remove readings. This function of the database may, and keeps what it removes (migration 0031).
_SET_ASIDE = text(
    "SELECT set_aside_readings(:shipment_id, :device_ids, CAST(:starts_at AS timestamptz), :reason, :shown)"
)

_LATEST_AGAIN = text("""
UPDATE device_states AS s SET
    (measured_at, temperature_c, probe_ok, battery_pct, flight_mode_until) = (
        SELECT measured_at, temperature_c, probe_ok, battery_pct, flight_mode_until FROM readings AS r
        WHERE r.device_id = s.device_id ORDER BY measured_at DESC LIMIT 1),
    position_at = CASE WHEN position_at < :starts_at THEN position_at END,
    lat = CASE WHEN position_at < :starts_at THEN lat END,
    lon = CASE WHEN position_at < :starts_at THEN lon END
WHERE device_id = ANY(:device_ids)
""")


async def set_aside(
    connection: AsyncConnection, shipment_id: str, device_ids: Collection[str], starts_at: datetime
) -> None:
    """Set aside what would count for a shipment from an instant on, and was received before that, of another holder.

    The loggers are locked. What an organization's own logger said ahead stays, on whichever of its shipments it is.
    """
    if not device_ids:
        return
    asked = {"shipment_id": shipment_id, "device_ids": list(device_ids), "starts_at": starts_at}
    kept = {"reason": RefusalReason.NOT_YOURS.value, "shown": _SHOWN}
    found = await connection.scalars(_SET_ASIDE, {**asked, **kept})
    if gone := found.all():
        await connection.execute(_LATEST_AGAIN, {"device_ids": list(gone), "starts_at": starts_at})
