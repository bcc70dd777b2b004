"""An incident says what its alerts say now, also where they got worse without anything to decide."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from alerts.attention.loop import decide_due
from tests.integration.api.conftest import Desk, text

HoursAgo = Callable[[float], datetime]


async def test_the_headline_follows_a_peak_that_grows(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(3)))
    await desk.store("S1-logger", (hours_ago(2), -134.5))
    await desk.evaluate()
    while await decide_due(desk.pool):
        pass
    (before,) = await desk.items("/v1/incidents")
    assert "peak −134.5 °C" in before["headline"]
    await desk.store("S1-logger", (hours_ago(1), -79.8))
    await desk.evaluate()
    assert await desk.pool.fetchval("SELECT count(*) FROM attention_marks") == 0, "there is nothing to decide"
    (listed,) = await desk.items("/v1/incidents")
    shown = (await desk.admin.get(f"/v1/incidents/{before['id']}")).json()
    for incident in (listed, shown):
        assert "peak −79.8 °C" in incident["headline"]
        assert incident["alert_ids"] == before["alert_ids"]
    # What was known then is told as it was.
    told_at = await desk.pool.fetchval(
        "SELECT recorded_at FROM incident_revisions WHERE incident_id = $1", UUID(before["id"])
    )
    then = await desk.admin.get(f"/v1/incidents/{before['id']}", params={"as_of": text(told_at)})
    assert "peak −134.5 °C" in then.json()["headline"]
