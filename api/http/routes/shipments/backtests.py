"""Backtests: what another plan would have done on history, before anyone signs the change."""

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncEngine

from alerts.backtest.run import Period, backtest, shipments_in, unknown_shipments
from alerts.backtest.totals import BacktestTotals
from alerts.excursions.plan import refused_change
from alerts.model import to_instant
from alerts.triage.rows import optional_instant
from api.http.problems import Problem, invalid
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.backtests import AT_MOST, BacktestIn, BacktestOut
from api.identity.access import Principal, visible_shipments
from api.use_cases.naming import shipments_listed, stop_if_anothers
from telemetry.registry.ids import id_of
from telemetry.tables import shipments

router = APIRouter(route_class=Call, tags=["backtests"])


@router.post("/v1/backtests")
@action("backtests.run")
async def run_backtest(body: BacktestIn, caller: Caller, services: Here) -> BacktestOut:
    """Compare each shipment's own plan with a proposed one, over all its stored readings; nothing is changed."""
    changes = body.plan.plan_fields()
    if refused := refused_change(changes):
        raise invalid(f"plan.{refused.field}", refused.why)
    now = services.clock()
    if body.since is not None and body.until is not None and body.until <= body.since:
        raise invalid("until", "must be after since")
    if body.since is not None and body.since > now:
        raise invalid("since", "lies in the future: there is no history to look at yet")
    period = Period(since=optional_instant(body.since), until=optional_instant(body.until))
    ids = await _chosen(services.engine, caller, body, period)
    findings = BacktestTotals(keep_shipments=body.limit, keep_differences=0)
    with services.gate.backtest(caller):
        async for some in backtest(services.engine, ids, changes, period, to_instant(now)):
            for found in some:
                findings.add(found)
    _stop_if_it_fits_none(findings)
    return BacktestOut.of(findings, now if body.until is None else min(now, body.until))


async def _chosen(engine: AsyncEngine, caller: Principal, body: BacktestIn, period: Period) -> list[str]:
    stop_if_anothers(caller, body.organization)
    visible = visible_shipments(caller)
    if body.organization is not None:
        visible = visible & (shipments.c.organization == body.organization)
    async with engine.connect() as connection:
        named = body.shipment_ids
        if named is not None:
            named = await shipments_listed(connection, caller, named, body.organization)
        if named is not None and (unknown := await unknown_shipments(connection, visible, named)):
            told = ", ".join(map(id_of, unknown))
            raise invalid("shipment_ids", f"names shipments that do not exist: {told}")
        ids = await shipments_in(connection, visible, period, named, limit=AT_MOST + 1)
    if len(ids) > AT_MOST:
        raise Problem(
            422,
            f"More than {AT_MOST} shipments were on their way then: narrow it with shipment_ids, since and until, "
            "or run `dewarwatch backtest` on the server.",
        )
    return ids


def _stop_if_it_fits_none(findings: BacktestTotals) -> None:
    """Refuse a proposal that makes no plan of any shipment's: that is a mistake in it."""
    refused = [one for one in findings.unjudged if one.field is not None]
    if refused and not findings.shipments:
        first = refused[0]
        raise invalid(f"plan.{first.field}", f"{first.why}, with the plan of {id_of(first.shipment_id)}")
