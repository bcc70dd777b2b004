"""Every list comes in pages that neither skip nor repeat, however rows are added."""

import base64
from typing import Any

from tests.integration.api.conftest import Desk, problem

LISTS = {
    "/v1/devices": "device_id",
    "/v1/dewars": "dewar_id",
    "/v1/dewars/W0/charges": "charged_at",
    "/v1/dewars/W0/revisions": "revision",
    "/v1/sites": "site_id",
    "/v1/sites/P0/revisions": "revision",
    "/v1/products": "product_id",
    "/v1/products/M0/revisions": "revision",
    "/v1/shipments": "shipment_id",
    "/v1/keys": "id",
    "/v1/excursions": "id",
    "/v1/shipments/S00/excursions": "id",
    "/v1/alerts": "id",
    "/v1/rejected": "id",
}


async def fill(desk: Desk) -> None:
    for number in range(7):
        await desk.ship(f"S{number:02}")
        await desk.admin.post("/v1/dewars", json={"dewar_id": f"W{number}"})
        await desk.admin.patch("/v1/dewars/W0", json={"hold_time_h": 240 - number} if number else {})
        await desk.key("ops")
        place = {"name": f"place {number}", "lat": 0, "lon": 0, "timezone": "UTC"}
        await desk.admin.post("/v1/sites", json={"site_id": f"P{number}", **place})
        await desk.admin.patch("/v1/sites/P0", json={"note": f"note {number}"} if number else {})
        await desk.admin.post("/v1/products", json={"product_id": f"M{number}", "band": "room"})
        await desk.admin.patch("/v1/products/M0", json={"note": f"note {number}"} if number else {})
    for number in range(7):
        charge = {"at": f"2026-11-0{number + 1}T00:00:00Z"}
        await desk.admin.post("/v1/dewars/W0/charge", json=charge)
    # Three of each at the same instant, so that it takes the id to tell them apart.
    await desk.pool.execute("UPDATE shipments SET created_at = now() WHERE shipment_id < 'S04'")
    await desk.pool.execute("UPDATE api_keys SET created_at = now()")
    await desk.pool.execute(
        "INSERT INTO excursions (id, shipment_id, device_id, revision, opened_at, side, start_at, peak_c, severity, "
        "has_gap, state, reason, recorded_at) SELECT gen_random_uuid(), 'S00', 'S00-logger', 1, now(), 'high', "
        "now() - (n / 3) * interval '1 min', 1, 'major', false, 'withdrawn', 'late_data', now() "
        "FROM generate_series(1, 7) AS n"
    )
    await desk.pool.execute(
        "INSERT INTO alerts (id, shipment_id, subject, kind, severity, state, message, since, raised_at, withdrawn) "
        "SELECT gen_random_uuid(), 'S00', 'x:' || n, 'probe_fault', 'major', 'firing', 'x', now(), "
        "now() - (n / 3) * interval '1 min', false FROM generate_series(1, 7) AS n"
    )
    await desk.pool.execute(
        "WITH m AS (INSERT INTO refused_messages (received_at, source, origin, payload) "
        "VALUES (now(), 'mqtt', 'dewar/v1/x/readings', '\\x00') RETURNING id) "
        "INSERT INTO refusals (message_id, position, reason, detail) "
        "SELECT m.id, n, 'not_json', 'x' FROM m, generate_series(1, 7) AS n"
    )


async def walk(desk: Desk, url: str, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": limit}
    while True:
        page = (await desk.admin.get(url, params=params)).json()
        assert len(page["items"]) <= limit
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        assert len(page["items"]) == limit
        params["cursor"] = page["next_cursor"]


async def test_pages_put_together_are_the_list(desk: Desk) -> None:
    await fill(desk)
    for url, key in LISTS.items():
        whole = await desk.items(url, limit=500)
        assert len(whole) == 7, url
        for limit in (1, 2, 3, 7):
            paged = await walk(desk, url, limit)
            assert [item[key] for item in paged] == [item[key] for item in whole], url


async def test_rows_that_come_while_one_reads_do_not_shift_pages(desk: Desk) -> None:
    for number in range(4):
        await desk.ship(f"S{number}")
    first = (await desk.admin.get("/v1/shipments?limit=2")).json()
    await desk.ship("S9")
    second = (await desk.admin.get(f"/v1/shipments?limit=2&cursor={first['next_cursor']}")).json()
    assert [item["shipment_id"] for item in first["items"] + second["items"]] == ["S3", "S2", "S1", "S0"]


def cursor(json: str) -> str:
    return base64.urlsafe_b64encode(json.encode()).decode()


WRONG = [
    "",
    "x",
    "é",
    "%00",
    "a" * 2000,
    cursor("[]"),
    cursor("{}"),
    cursor("[1,2]"),
    cursor('["a",1]'),
    cursor("null"),
    cursor('["2026-01-01T00:00:00Z","a","b"]'),
    cursor('["x\\u0000"]'),
]


async def test_wrong_cursors(desk: Desk) -> None:
    await desk.ship("S00")
    for url in LISTS:
        for wrong in WRONG:
            refused = problem(await desk.admin.get(url, params={"cursor": wrong}), 422)
            assert refused["errors"][0]["field"] == "cursor"
    no_month = cursor('["2026-13-01T00:00:00Z","a"]')
    problem(await desk.admin.get("/v1/shipments", params={"cursor": no_month}), 422)
