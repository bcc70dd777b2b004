"""What people do to alerts and incidents, each step with who, when and why; and what makes no sense."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from alerts.attention.loop import decide_due
from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]

WARM = [*[-180.0] * 5, *[-140.0] * 20]
"""A major excursion that goes on."""


async def decide_all(desk: Desk) -> None:
    while await decide_due(desk.pool):
        pass


@pytest.fixture
async def alert(desk: Desk, hours_ago: HoursAgo) -> dict[str, Any]:
    """A major excursion's alert that fires, in an open incident."""
    await desk.ship("S1", departed_at=text(hours_ago(2)), organization="acme")
    start = hours_ago(25 / 60)
    await desk.store("S1-logger", *((start + timedelta(minutes=n), c) for n, c in enumerate(WARM)))
    await desk.evaluate()
    await decide_all(desk)
    (found,) = await desk.items("/v1/alerts", kind="excursion")
    assert (found["state"], found["severity"], found["owner"]) == ("firing", "major", None)
    return dict(found)


@pytest.fixture
async def ops(desk: Desk) -> httpx.AsyncClient:
    return await desk.caller("ops")


async def step(client: httpx.AsyncClient, alert: dict[str, Any], name: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"/v1/alerts/{alert['id']}/{name}", json=body)
    assert answer.status_code in {200, 201}, answer.text
    return dict(answer.json())


def soon(**delta: float) -> str:
    return text(datetime.now(UTC) + timedelta(**delta))


async def test_each_step_says_who_when_and_why(
    desk: Desk, ops: httpx.AsyncClient, alert: dict[str, Any]
) -> None:
    taken = await step(ops, alert, "acknowledge", note="Calling the driver.")
    me = taken["acknowledged_by"]
    assert me.startswith("key:dw_")
    assert (taken["state"], taken["owner"]) == ("acknowledged", me)
    given = await step(ops, alert, "assign", owner="night desk", note="End of my shift.")
    assert (given["state"], given["owner"]) == ("acknowledged", "night desk")
    until = soon(hours=2)
    asleep = await step(ops, alert, "snooze", until=until, reason="Depot opens then.")
    assert (asleep["state"], asleep["snooze_reason"]) == ("snoozed", "Depot opens then.")
    assert datetime.fromisoformat(asleep["snoozed_until"]) == datetime.fromisoformat(until)
    assert asleep["needs_attention"] is False
    awake = await step(ops, alert, "snooze", until=None, reason="They opened early.")
    assert (awake["state"], awake["snoozed_until"], awake["owner"]) == ("firing", None, "night desk")
    assert awake["needs_attention"] is True
    said = await step(ops, alert, "comment", text="Recharged at the depot.")
    assert [(one["by"], one["text"]) for one in said["comments"]] == [(me, "Recharged at the depot.")]
    over = await step(ops, alert, "resolve", reason="The logger lies on the bench.")
    assert (over["state"], over["needs_attention"], over["acknowledged_by"]) == ("resolved", False, me)
    last = [(r["reason"], r["by"], r["note"]) for r in over["revisions"]][-5:]
    assert last == [
        ("acknowledged", me, "Calling the driver."),
        ("assigned", me, "End of my shift."),
        ("snoozed", me, "Depot opens then."),
        ("snooze_ended", me, "They opened early."),
        ("resolved_by_hand", me, "The logger lies on the bench."),
    ]
    numbers = [revision["revision"] for revision in over["revisions"]]
    assert numbers == list(range(1, len(numbers) + 1))
    told = await desk.pool.fetch("SELECT type FROM outbox WHERE data->>'id' = $1 ORDER BY id", alert["id"])
    names = ("firing", "acknowledged", "assigned", "snoozed", "firing", "commented", "resolved")
    assert [row["type"] for row in told] == [f"alert.{name}" for name in names]


async def test_what_was_resolved_by_hand_stays_quiet_while_its_condition_holds(
    desk: Desk, ops: httpx.AsyncClient, alert: dict[str, Any]
) -> None:
    await step(ops, alert, "resolve", reason="It rides along empty.")
    await desk.store("S1-logger", (datetime.now(UTC) - timedelta(seconds=2), -139.0))
    await desk.evaluate()
    (same,) = await desk.items("/v1/alerts", kind="excursion")
    assert (same["state"], same["until"]) == ("resolved", None)
    await desk.store("S1-logger", (datetime.now(UTC) - timedelta(seconds=1), -120.0))
    await desk.evaluate()
    (worse,) = await desk.items("/v1/alerts", kind="excursion")
    assert (worse["state"], worse["severity"]) == ("firing", "critical")


async def test_a_snooze_ends_by_itself(desk: Desk, ops: httpx.AsyncClient, alert: dict[str, Any]) -> None:
    await step(ops, alert, "snooze", until=soon(hours=1), reason="Wait for the depot.")
    await decide_all(desk)
    assert (await desk.admin.get(f"/v1/alerts/{alert['id']}")).json()["state"] == "snoozed"
    past = "UPDATE alerts SET snoozed_until = now() - interval '1 second' WHERE state = 'snoozed'"
    await desk.pool.execute(past)
    await decide_all(desk)
    shown = (await desk.admin.get(f"/v1/alerts/{alert['id']}")).json()
    assert (shown["state"], shown["snoozed_until"], shown["snooze_reason"]) == ("firing", None, None)
    assert (shown["revisions"][-1]["reason"], shown["revisions"][-1]["by"]) == (
        "snooze_ended",
        "timer:snooze",
    )


async def test_an_acknowledgement_without_action_expires_and_a_comment_renews_it(
    desk: Desk, ops: httpx.AsyncClient, alert: dict[str, Any]
) -> None:
    await step(ops, alert, "acknowledge")
    long_ago = (
        "UPDATE alerts SET acknowledged_at = now() - interval '2 days', last_action_at = NULL WHERE id = $1"
    )
    await desk.pool.execute(long_ago, alert["id"])
    await step(ops, alert, "comment", text="Still on it.")
    await decide_all(desk)
    assert (await desk.admin.get(f"/v1/alerts/{alert['id']}")).json()["state"] == "acknowledged"
    await desk.pool.execute(long_ago, alert["id"])
    await decide_all(desk)
    shown = (await desk.admin.get(f"/v1/alerts/{alert['id']}")).json()
    assert (shown["state"], shown["owner"], shown["acknowledged_by"]) == ("firing", None, None)
    assert shown["revisions"][-1]["reason"] == "acknowledgement_expired"


async def test_whoever_takes_it_may_say_who_they_are(ops: httpx.AsyncClient, alert: dict[str, Any]) -> None:
    taken = await step(ops, alert, "acknowledge", owner="Kim Lee")
    assert (taken["state"], taken["owner"]) == ("acknowledged", "Kim Lee")
    assert taken["acknowledged_by"].startswith("key:dw_"), "the record has the key"
    path = f"/v1/alerts/{alert['id']}/acknowledge"
    told = problem(await ops.post(path, json={"owner": "Bo Chen"}), 409)["detail"]
    assert told.startswith("Kim Lee has this alert"), "and what to do instead"
    await step(ops, alert, "assign", owner=None)
    await step(ops, alert, "assign", owner="Bo Chen")
    assert (await step(ops, alert, "acknowledge"))["owner"] == "Bo Chen"


async def test_taking_back(desk: Desk, ops: httpx.AsyncClient, alert: dict[str, Any]) -> None:
    await step(ops, alert, "acknowledge")
    left = await step(ops, alert, "assign", owner=None)
    assert (left["state"], left["owner"]) == ("firing", None)
    same = await step(ops, alert, "assign", owner=None)
    assert same["revision"] == left["revision"]
    assert (await step(ops, alert, "snooze", until=None))["revision"] == left["revision"]


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("snooze", {"until": "2020-01-01T00:00:00Z", "reason": "it is later so"}, "until"),
        ("snooze", {"until": "2999-01-01T00:00:00Z", "reason": "it is never so"}, "until"),
        ("snooze", {"until": "SOON"}, "reason"),
        ("snooze", {"until": "SOON", "reason": "  "}, "reason"),
        ("snooze", {"reason": "for how long?"}, "until"),
        ("resolve", {}, "reason"),
        ("resolve", {"reason": ""}, "reason"),
        ("assign", {}, "owner"),
        ("assign", {"owner": "x" * 201}, "owner"),
        ("assign", {"owner": " "}, "owner"),
        ("comment", {"text": "\0"}, "text"),
        ("comment", {}, "text"),
        ("acknowledge", {"owner": " "}, "owner"),
        ("acknowledge", {"by": "me"}, "by"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_field(
    ops: httpx.AsyncClient, alert: dict[str, Any], name: str, body: dict[str, Any], field: str
) -> None:
    body = {key: soon(hours=1) if value == "SOON" else value for key, value in body.items()}
    refused = problem(await ops.post(f"/v1/alerts/{alert['id']}/{name}", json=body), 422)
    assert [error["field"] for error in refused["errors"]] == [field]
    now = (await ops.get(f"/v1/alerts/{alert['id']}")).json()
    assert now["revision"] == alert["revision"]


async def test_what_is_resolved_can_only_be_acknowledged_and_commented_on(
    ops: httpx.AsyncClient, alert: dict[str, Any]
) -> None:
    await step(ops, alert, "resolve", reason="it is done so")
    for name, body in (
        ("assign", {"owner": "me"}),
        ("snooze", {"until": soon(hours=1), "reason": "it has to be so"}),
        ("resolve", {"reason": "it is again so"}),
    ):
        refused = problem(await ops.post(f"/v1/alerts/{alert['id']}/{name}", json=body), 409)
        assert "is already resolved, since " in refused["detail"]
    assert (await step(ops, alert, "comment", text="It was the bench."))["comments"]


async def test_who_may_do_what(desk: Desk, alert: dict[str, Any]) -> None:
    courier = await desk.caller("courier", organization="acme", shipment_ids=["S1"])
    url = f"/v1/alerts/{alert['id']}"
    assert (await courier.post(f"{url}/comment", json={"text": "The lid is closed."})).status_code == 201
    assert (await courier.post(f"{url}/acknowledge")).status_code == 200
    problem(await courier.post(f"{url}/snooze", json={"until": None}), 403)
    problem(await courier.post(f"{url}/resolve", json={"reason": "it has to be so"}), 403)
    await desk.ship("S2", organization="acme")
    elsewhere = await desk.caller("courier", organization="acme", shipment_ids=["S2"])
    for name, body in (("acknowledge", {}), ("comment", {"text": "x"})):
        problem(await elsewhere.post(f"{url}/{name}", json=body), 404)
        problem(await elsewhere.post(f"/v1/incidents/{alert['incident_id']}/{name}", json=body), 404)
    problem(await elsewhere.get(f"/v1/incidents/{alert['incident_id']}"), 404)
    assert await desk.items("/v1/incidents", elsewhere) == []
    qa = await desk.caller("qa")
    assert (await qa.get(url)).status_code == 200
    problem(await qa.post(f"{url}/comment", json={"text": "x"}), 403)


async def test_lists_by_owner_incident_and_what_needs_attention(
    desk: Desk, ops: httpx.AsyncClient, alert: dict[str, Any]
) -> None:
    assert [a["id"] for a in await desk.items("/v1/alerts", needs_attention=True, kind="excursion")] == [
        alert["id"]
    ]
    before = text(datetime.now(UTC))
    await step(ops, alert, "assign", owner="Kim")
    assert [a["id"] for a in await desk.items("/v1/alerts", owner="Kim")] == [alert["id"]]
    assert await desk.items("/v1/alerts", owner="Kim", as_of=before) == []
    (then,) = await desk.items("/v1/alerts", kind="excursion", as_of=before)
    assert (then["owner"], then["incident_id"]) == (None, alert["incident_id"])
    theirs = await desk.items("/v1/alerts", incident_id=alert["incident_id"])
    assert alert["id"] in [a["id"] for a in theirs]
    assert await desk.items("/v1/alerts", incident_id=alert["incident_id"], as_of=before)
    await step(ops, alert, "resolve", reason="it has to be so")
    assert await desk.items("/v1/alerts", needs_attention=True, kind="excursion") == []


async def test_steps_on_all_alerts_of_an_incident(
    desk: Desk, ops: httpx.AsyncClient, alert: dict[str, Any]
) -> None:
    url = f"/v1/incidents/{alert['incident_id']}"
    shown = (await ops.get(url)).json()
    assert (shown["state"], shown["owners"], shown["unowned"]) == ("open", [], len(shown["alerts"]))
    assert shown["next_action"]
    assert shown["revisions"][0]["reason"] == "alert_raised"
    before = text(datetime.now(UTC))
    taken = (await ops.post(f"{url}/acknowledge", json={"note": "On it."})).json()
    (me,) = taken["owners"]
    assert {one["state"] for one in taken["alerts"]} == {"acknowledged"}
    given = (await ops.post(f"{url}/assign", json={"owner": "Kim"})).json()
    assert (given["owners"], given["unowned"]) == (["Kim"], 0)
    assert [i["id"] for i in await desk.items("/v1/incidents", owner="Kim")] == [shown["id"]]
    assert await desk.items("/v1/incidents", owner=me) == []
    problem(await ops.post(f"{url}/snooze", json={"until": soon(hours=80), "reason": "it has to be so"}), 422)
    slept = (
        await ops.post(f"{url}/snooze", json={"until": soon(hours=1), "reason": "it has to be so"})
    ).json()
    assert {one["state"] for one in slept["alerts"]} == {"snoozed"}
    assert (await ops.post(f"{url}/comment", json={"text": "All at rest."})).status_code == 201
    ended = (await ops.post(f"{url}/resolve", json={"reason": "it is Bench. so"})).json()
    assert {one["state"] for one in ended["alerts"]} == {"resolved"}
    assert (ended["state"], ended["closed_at"] is not None) == (
        "closed",
        True,
    )  # before anybody attends to it
    assert await desk.items("/v1/incidents", state="open", shipment_id=ended["shipment_id"]) == []
    assert [i["id"] for i in await desk.items("/v1/incidents", state="closed")] == [shown["id"]]
    assert (
        "nothing left to do"
        in problem(await ops.post(f"{url}/resolve", json={"reason": "it has to be so"}), 409)["detail"]
    )
    await decide_all(desk)
    closed = (await ops.get(url)).json()
    assert (closed["state"], closed["revisions"][-1]["reason"]) == ("closed", "all_resolved")
    assert closed["closed_at"]
    then = (await ops.get(url, params={"as_of": before})).json()
    assert (then["state"], then["owners"], len(then["revisions"])) == ("open", [], len(shown["revisions"]))
    assert [i["id"] for i in await desk.items("/v1/incidents", state="closed")] == [shown["id"]]
    told = await desk.pool.fetch("SELECT type FROM outbox WHERE data->>'id' = $1 ORDER BY id", shown["id"])
    assert [row["type"] for row in told] == ["incident.opened", "incident.closed"]


async def test_what_was_said_and_done_cannot_be_edited_away(
    desk: Desk, ops: httpx.AsyncClient, alert: dict[str, Any]
) -> None:
    await step(ops, alert, "comment", text="The lid was open.")
    for statement in (
        "UPDATE alert_comments SET text = 'It was not.'",
        "DELETE FROM alert_comments",
        "TRUNCATE alert_comments",
        "UPDATE alert_revisions SET note = NULL",
        "DELETE FROM alert_revisions",
        "DELETE FROM incident_revisions",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="stays on record"):
            await desk.pool.execute(statement)


async def test_what_does_not_exist(ops: httpx.AsyncClient) -> None:
    nothing = "00000000-0000-0000-0000-000000000000"
    problem(await ops.get(f"/v1/incidents/{nothing}"), 404)
    problem(await ops.post(f"/v1/incidents/{nothing}/acknowledge"), 404)
    problem(await ops.post(f"/v1/alerts/{nothing}/comment", json={"text": "x"}), 404)
    problem(await ops.post(f"/v1/alerts/{nothing}/resolve", json={"reason": "it has to be so"}), 404)
