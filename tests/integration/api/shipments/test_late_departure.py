"""A shipment that does not depart as planned is told of by the clock, although no rule of the way has begun."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from tests.integration.api.conftest import Desk, text

HoursAgo = Callable[[float], datetime]


async def alerts(desk: Desk) -> list[tuple[str, str, Any]]:
    await desk.evaluate()
    return [(one["kind"], one["state"], one["since"]) for one in await desk.items("/v1/alerts", kind="late")]


async def test_it_is_told_once_due_and_ends_with_the_departure(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", planned_departure=text(hours_ago(1)))
    await desk.pool.execute("UPDATE shipments SET created_at = $1", hours_ago(1))
    assert await alerts(desk) == []
    due = await desk.pool.fetchval("SELECT evaluate_at FROM evaluations")
    assert due == hours_ago(-1)
    # Two hours go by.
    await desk.pool.execute("UPDATE shipments SET planned_departure = $1, created_at = $1", hours_ago(3))
    await desk.pool.execute("UPDATE evaluations SET evaluate_at = now()")
    [(kind, state, since)] = await alerts(desk)
    assert (kind, state, datetime.fromisoformat(since)) == ("late", "firing", hours_ago(1))
    await desk.pool.execute("UPDATE evaluations SET evaluate_at = now()")
    assert len(await alerts(desk)) == 1
    await desk.admin.post("/v1/shipments/S1/depart", json={"at": text(hours_ago(0.5))})
    [(_, state, _)] = await alerts(desk)
    assert state == "resolved"


async def test_another_schedule_ends_it_and_may_be_late_again(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", planned_departure=text(hours_ago(5)))
    await desk.pool.execute("UPDATE shipments SET created_at = $1", hours_ago(9))
    await desk.pool.execute("UPDATE evaluations SET evaluate_at = now()")
    assert [state for _, state, _ in await alerts(desk)] == ["firing"]
    for ago, states in ((-4, ["resolved"]), (2.5, ["firing"])):
        change = {"reason": "next flight", "planned_departure": text(hours_ago(ago))}
        assert (await desk.admin.post("/v1/shipments/S1/schedule", json=change)).status_code == 200
        assert sorted(state for _, state, _ in await alerts(desk)) == states
    await desk.admin.post("/v1/shipments/S1/cancel", json={"reason": "it is not needed"})
    assert {state for _, state, _ in await alerts(desk)} == {"resolved"}
