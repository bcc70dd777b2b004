"""What people do to sites: to register and describe them; shipments under way that name one are judged by it from their start.

Each function works in the transaction of its caller's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.excursions.plan import Band
from api.identity.access import Principal
from api.rates.policy import QUOTAS, Quotas
from api.use_cases.registry.registering import SITE
from telemetry import evaluation_marks
from telemetry.actor import Actor
from telemetry.registry.sites import may_mean

RADIUS_M: Final = 1000.0
AIRPORT_RADIUS_M: Final = 5000.0
"""Of the geofence of a site for which none is given, by its kind."""


_JUDGED: Final = (*("name", "kind", "lat", "lon", "radius_m", "timezone", "stores", "receiving_hours"),)
"""What rules read of a site."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSite:
    """A site as it is registered: its place in degrees, its geofence in metres, its time zone by its IANA name."""

    site_id: str
    name: str
    lat: float
    lon: float
    timezone: str
    organization: str | None = None
    kind: str | None = None
    radius_m: float | None = None
    """By default `RADIUS_M`, or `AIRPORT_RADIUS_M` for an airport."""
    stores: Sequence[Band] | None = None
    """The bands that it can store; None: not known."""
    receiving_hours: Mapping[str, Any] | None = None
    """As `telemetry.registry.receiving_hours` reads them; None: it is always open."""
    contacts: Sequence[Mapping[str, Any]] = ()
    note: str | None = None


async def register(
    connection: AsyncConnection,
    caller: Principal,
    new: NewSite,
    *,
    actor: Actor,
    quotas: Quotas = QUOTAS,
) -> RowMapping:
    """Register a site; shipments that name its id as a place then mean it."""
    default = AIRPORT_RADIUS_M if new.kind == "airport" else RADIUS_M
    values = asdict(new) | {"radius_m": default if new.radius_m is None else new.radius_m}
    row = await SITE.add(connection, caller, values, actor=actor, quotas=quotas)
    await evaluation_marks.mark_active(connection, may_mean(row))
    return row


async def change(
    connection: AsyncConnection,
    caller: Principal,
    site_id: str,
    changes: Mapping[str, Any],
    *,
    seen: int | None = None,
    actor: Actor,
    reason: str | None,
) -> RowMapping:
    """Describe a site anew; `changes` has fields of `NewSite`, and None takes away what need not be there."""
    row = await SITE.lock(connection, caller, site_id)
    changed = await SITE.change(connection, row, changes, seen=seen, actor=actor, reason=reason)
    if any(changed[name] != row[name] for name in _JUDGED):
        await evaluation_marks.mark_active(connection, may_mean(row))
    return changed
