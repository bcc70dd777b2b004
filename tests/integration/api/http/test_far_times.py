"""Times that mean "never", as some systems write them: the last instant of the year 9999."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.integration.api.conftest import Desk, text
from tests.integration.api.people.test_escalation import HoursAgo

NEVER = "9999-12-31T23:59:59.9999999Z"


@pytest.mark.parametrize(
    "fields",
    [
        {"planned_arrival": NEVER, "use_by": NEVER},
        {"planned_departure": NEVER, "planned_arrival": NEVER},
        {"legs": [{"from": "A", "to": "B", "planned_departure": NEVER, "planned_arrival": NEVER}]},
    ],
)
async def test_a_shipment_that_is_planned_for_never_is_judged(
    desk: Desk, hours_ago: HoursAgo, fields: dict[str, Any]
) -> None:
    await desk.admin.post("/v1/dewars", json={"dewar_id": "W1", "hold_time_h": 240})
    made = await desk.ship("S1", departed_at=text(hours_ago(2)), dewar_id="W1", **fields)
    for name, value in fields.items():
        if name != "legs":
            assert made[name].startswith("9999-12-31T23:59:59.99"), value
            assert made[name].endswith("Z")
    start: datetime = hours_ago(25 / 60)
    warm = [*[-180.0] * 5, *[-120.0] * 20]
    await desk.store("S1-logger", *((start + timedelta(minutes=n), c) for n, c in enumerate(warm)))
    await desk.evaluate()
    errors = await desk.pool.fetch("SELECT error FROM evaluations WHERE failures > 0")
    assert errors == []
    assert "excursion" in {one["kind"] for one in await desk.items("/v1/alerts")}
    for url in ("/v1/shipments", "/v1/shipments/S1", "/v1/shipments/S1/forecast", "/v1/shipments/S1/summary"):
        assert (await desk.admin.get(url)).status_code == 200, url


async def test_a_key_that_never_expires(desk: Desk) -> None:
    made = await desk.admin.post("/v1/keys", json={"role": "ops", "expires_at": NEVER})
    assert made.status_code == 201
    client = await desk.client(made.json()["key"])
    assert (await client.get("/v1/alerts", params={"as_of": NEVER})).status_code < 500
    assert await desk.items("/v1/alerts", client) == []
