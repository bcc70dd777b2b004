"""What is counted has happened: a decision that is not committed is in no metric."""

from collections.abc import Callable
from datetime import datetime

import asyncpg
import pytest

from alerts import metrics
from alerts.attention.loop import decide_due
from tests.integration.api.conftest import Desk, text
from tests.integration.api.http.test_faults import BODIES


def decided() -> float:
    (metric,) = metrics.NOTIFICATIONS.collect()
    return sum(one.value for one in metric.samples if one.name.endswith("_total"))


async def test_notifications_are_counted_once_they_are_committed(
    desk: Desk, hours_ago: Callable[[float], datetime]
) -> None:
    contact = BODIES["POST /v1/contacts"] | {"contact_id": "night"}
    assert (await desk.admin.post("/v1/contacts", json=contact)).status_code == 201
    policy = {"policy_id": "now", "group_wait_s": 0, "steps": [{"after_s": 0, "to": ["contact:night"]}]}
    assert (await desk.admin.post("/v1/policies", json=policy)).status_code == 201
    await desk.ship("S1", departed_at=text(hours_ago(2)))
    await desk.store("S1-logger", *[(hours_ago(1 - minute / 60), -20.0) for minute in range(30)])
    await desk.evaluate()
    await desk.pool.execute(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'"
    )
    await desk.pool.execute(
        "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON notifications DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION no()"
    )
    before = decided()
    with pytest.raises(asyncpg.RaiseError):
        await decide_due(desk.pool)
    assert decided() == before
    await desk.pool.execute("DROP TRIGGER no ON notifications")
    assert await decide_due(desk.pool)
    assert decided() > before
