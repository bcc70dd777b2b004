"""What was known at an instant: asked later, the answer is the one that was given then."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import event

from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]

HEADER = "dewarwatch-as-of"


def moment() -> str:
    """An instant between what was done before and what is done after."""
    return text(datetime.now(UTC))


def minutes(start: datetime, *celsius: float | None) -> list[tuple[datetime, float | None]]:
    return [(start + timedelta(minutes=10 * n), value) for n, value in enumerate(celsius)]


async def ask(desk: Desk, url: str, **params: Any) -> dict[str, Any]:
    answer = await desk.admin.get(url, params=params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def measured(desk: Desk, **params: Any) -> list[float]:
    return [item["temperature_c"] for item in await desk.items("/v1/shipments/S1/readings", **params)]


async def test_readings_as_they_had_come_in(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(5)))
    before = moment()
    await desk.store("S1-logger", *minutes(hours_ago(4), -180, -170, -160))
    between = moment()
    await desk.store("S1-logger", (hours_ago(4) + timedelta(minutes=5), -175), (hours_ago(1), -150))
    for params in ({}, {"points": 100}):
        assert await measured(desk, **params) == [-180, -175, -170, -160, -150]
        assert await measured(desk, as_of=between, **params) == [-180, -170, -160]
        assert await measured(desk, as_of=before, **params) == []
    assert await measured(desk, as_of=between, **{"from": text(hours_ago(3.9))}) == [-170, -160]
    assert await measured(desk, as_of=between, to=text(hours_ago(3.9)), device_id="S1-logger") == [-180]
    thinned = await ask(desk, "/v1/shipments/S1/readings", points=2, as_of=between)
    assert [item["temperature_c"] for item in thinned["items"]] == [-180, -160]
    first = await ask(desk, "/v1/shipments/S1/readings", limit=2, as_of=between)
    rest = await ask(desk, "/v1/shipments/S1/readings", limit=2, as_of=between, cursor=first["next_cursor"])
    assert [item["temperature_c"] for item in first["items"] + rest["items"]] == [-180, -170, -160]


async def test_readings_by_the_assignments_that_were_known(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1")
    await desk.store("S1-logger", *minutes(hours_ago(3), -180, -170))
    planned = moment()
    await desk.admin.post("/v1/shipments/S1/depart", json={"at": text(hours_ago(4))})
    departed = moment()
    await desk.admin.post("/v1/shipments/S1/deliver", json={"at": text(hours_ago(3))})
    delivered = moment()
    assert await measured(desk) == await measured(desk, as_of=planned) == []
    assert await measured(desk, as_of=departed) == [-180, -170]
    assert await measured(desk, as_of=delivered) == []
    as_it_was = await ask(desk, "/v1/shipments/S1/summary", as_of=departed)
    assert [device["readings"] for device in as_it_was["devices"]] == [2]
    as_it_was = await ask(desk, "/v1/shipments/S1/summary", as_of=planned)
    assert as_it_was["devices"] == []
    assert as_it_was["worst"] is as_it_was["evaluated_through"] is None


async def test_findings_as_they_were_told(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", organization="acme", departed_at=text(hours_ago(5)))
    before = moment()
    await desk.store("S1-logger", *minutes(hours_ago(4), -180, -145))
    await desk.evaluate()
    opened = moment()
    (excursion,) = await desk.items("/v1/excursions")
    (alert,) = await desk.items("/v1/alerts", kind="excursion")
    await desk.admin.post(f"/v1/alerts/{alert['id']}/acknowledge")
    acknowledged = moment()
    await desk.store("S1-logger", *minutes(hours_ago(3), -120, -180))
    await desk.evaluate()
    (now,) = await desk.items("/v1/excursions")
    assert (now["state"], now["severity"]) == ("closed", "critical")

    for url in ("/v1/excursions", "/v1/shipments/S1/excursions"):
        assert await desk.items(url, as_of=opened) == [excursion]
        assert await desk.items(url, as_of=acknowledged, state="open", severity="major") == [excursion]
        assert await desk.items(url, as_of=acknowledged, state="closed") == []
        assert await desk.items(url, as_of=acknowledged, severity="critical") == []
        assert await desk.items(url, as_of=before) == []
        assert await desk.items(url, as_of=moment()) == [now]
    assert await desk.items("/v1/alerts", as_of=opened, state="firing", kind="excursion") == [alert]
    assert await desk.items("/v1/alerts", as_of=acknowledged, state="firing", kind="excursion") == []
    (taken,) = await desk.items("/v1/alerts", as_of=acknowledged, shipment_id="S1", kind="excursion")
    assert (taken["state"], taken["revision"]) == ("acknowledged", 2)
    assert taken["acknowledged_by"] == "key:admin-key-setting"
    assert await desk.items("/v1/alerts", as_of=before) == []

    one = await ask(desk, f"/v1/excursions/{excursion['id']}", as_of=opened)
    assert [revision["state"] for revision in one["revisions"]] == ["open"]
    assert one.items() >= excursion.items()
    one = await ask(desk, f"/v1/alerts/{alert['id']}", as_of=acknowledged)
    assert [revision["state"] for revision in one["revisions"]] == ["firing", "acknowledged"]
    assert one.items() >= taken.items()
    for noun, id_ in (("excursion", excursion["id"]), ("alert", alert["id"])):
        gone = problem(await desk.admin.get(f"/v1/{noun}s/{id_}", params={"as_of": before}), 404)
        assert gone["detail"].startswith(f"There is no {noun} {id_} that was known at ")
        problem(await desk.admin.get(f"/v1/{noun}s/{uuid4()}", params={"as_of": opened}), 404)
    other = await desk.caller("viewer", organization="bcell")
    for url in (f"/v1/excursions/{excursion['id']}", f"/v1/alerts/{alert['id']}", "/v1/shipments/S1/summary"):
        problem(await other.get(url, params={"as_of": opened}), 404)
    assert await desk.items("/v1/excursions", other, as_of=opened) == []
    assert await desk.items("/v1/alerts", other, as_of=opened) == []


QUESTIONS = (
    "/v1/shipments/S1/readings",
    "/v1/shipments/S1/excursions",
    "/v1/shipments/S1/summary",
    "/v1/excursions",
    "/v1/alerts",
)


async def test_which_instants_can_be_asked_for(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(5)))
    await desk.store("S1-logger", *minutes(hours_ago(4), -120))
    await desk.evaluate()
    (excursion,), (alert, *_) = await desk.items("/v1/excursions"), await desk.items("/v1/alerts")
    ones = (f"/v1/excursions/{excursion['id']}", f"/v1/alerts/{alert['id']}")
    for url in (*QUESTIONS, *ones):
        for wrong in (text(hours_ago(-0.2)), "yesterday", "2026-11-21T03:45:00", ""):
            refused = problem(await desk.admin.get(url, params={"as_of": wrong}), 422)
            assert refused["errors"][0]["field"] == "as_of", (url, wrong)
            assert refused["errors"][0]["in"] == "query"
        soon = text(datetime.now(UTC) + timedelta(minutes=4))
        answer = await desk.admin.get(url, params={"as_of": soon})
        assert answer.headers[HEADER] == soon.replace("+00:00", "Z")
        live = await desk.admin.get(url)
        assert abs(datetime.fromisoformat(live.headers[HEADER]) - datetime.now(UTC)) < timedelta(minutes=1)
        if url.endswith("summary"):
            assert live.json()["as_of"] == live.headers[HEADER]
            assert answer.json()["as_of"] == answer.headers[HEADER]
        else:
            assert answer.json() == live.json()
    for url in QUESTIONS:
        long_ago = await ask(desk, url, as_of="1990-01-01T00:00:00+02:00")
        assert long_ago.get("items", []) == long_ago.get("devices", []) == []
    problem(await desk.admin.get("/v1/shipments/S2/readings", params={"as_of": moment()}), 404)


async def test_the_history_of_a_whole_page_takes_one_query(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.ship("S1", departed_at=text(hours_ago(9)))
    await desk.store("S1-logger", *minutes(hours_ago(8), -145))
    await desk.evaluate()
    between = moment()
    await desk.store("S1-logger", *minutes(hours_ago(7), -120, -180, -140, -180, -140, -180))
    await desk.evaluate()
    asked: list[str] = []

    def note(*args: Any) -> None:
        asked.append(args[2])

    for url in ("/v1/excursions", "/v1/shipments/S1/excursions"):
        plain = await desk.items(url)
        assert len(plain) == 3
        assert all("revisions" not in item for item in plain)
        counts = []
        event.listen(desk.services.engine.sync_engine, "before_cursor_execute", note)
        for limit in (1, 3):
            asked.clear()
            page = await desk.items(url, revisions="true", limit=limit)
            counts.append(len(asked))
        event.remove(desk.services.engine.sync_engine, "before_cursor_execute", note)
        assert counts[0] == counts[1]
        for item in page:
            whole = await ask(desk, f"/v1/excursions/{item['id']}")
            assert item == whole
        assert [{k: v for k, v in item.items() if k != "revisions"} for item in page] == plain
        assert [len(item["revisions"]) for item in page] == [1, 1, 2]
        (then,) = await desk.items(url, revisions="true", as_of=between)
        assert [revision["state"] for revision in then["revisions"]] == ["open"]
