"""A plan that was changed under way: what was found before is corrected, whatever the new plan has no words for."""

import json

from alerts.excursions.plan import Plan, make_plan
from tests.integration.alerts.conftest import Desk, minute


async def replan(desk: Desk, **overrides: object) -> None:
    plan = make_plan("controlled", overrides)
    assert isinstance(plan, Plan)
    async with desk.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "UPDATE shipments SET plan = $1, plan_revision = plan_revision + 1", json.dumps(plan.to_json())
        )
        await connection.execute("INSERT INTO evaluation_marks (shipment_id) VALUES ('S1')")


async def test_a_limit_that_is_dropped_withdraws_what_lay_beyond_it(desk: Desk) -> None:
    await desk.ship(band="controlled")
    await desk.store([(minute(0), 20.0), (minute(1), 30.0)])
    await desk.evaluate()
    before = (await desk.alerts())["excursion"]
    await replan(desk, upper_c=None, critical_high_c=None)
    await desk.evaluate()
    [excursion] = await desk.excursions()
    assert (excursion["state"], excursion["reason"]) == ("withdrawn", "plan_changed")
    alert = (await desk.alerts())["excursion"]
    assert (alert["state"], alert["withdrawn"]) == ("resolved", True)
    assert alert["message"] == before["message"]  # in the words of the plan that found it
    assert await desk.pool.fetchval("SELECT failures FROM evaluations") == 0
