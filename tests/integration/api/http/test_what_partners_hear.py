"""What partners hear of a course of events, from readings to deliveries, by a clock that the test sets: how many messages, and which."""

import asyncio
import json
import os
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from alerts.attention.loop import decide_due
from alerts.evaluation.loop import evaluate_due
from alerts.events.outbox import Position
from alerts.model import Severity
from alerts.outbound.resolve import Targets
from alerts.webhooks.fanout import fan_out
from api.http.app import create_app
from api.http.event_hub import EventHub, Wanted
from api.http.services import Services
from api.identity.access import Principal, permitted
from api.identity.authenticator import Authenticator
from api.identity.permissions import KeyRole
from telemetry.database.connections import engine_for
from telemetry.ingest.pipeline import Ingest
from tests.integration.alerts.stage import CLOCK, SETTINGS
from tests.integration.api.conftest import ADMIN_KEY

AT = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "partner.md").read_text()
GOLDEN = ROOT / "tests" / "golden" / "events" / "warm-up.json"
"""The messages of the page's filter, word for word; REWRITE=1 writes them anew, to be read before they are believed."""
BEGINNING = Position(0)
OPS = permitted(Principal(name="dw_ops", role=KeyRole.OPS), "stream.follow")


@dataclass
class Course:
    """A shipment under way, and those who hear of it."""

    pool: asyncpg.Pool
    http: httpx.AsyncClient
    now: datetime = AT

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = await self.http.post(path, json=body)
        assert answer.is_success, answer.text
        return dict(answer.json())

    async def begin(self, **plan: Any) -> None:
        await self.post("/v1/devices", device_id="LOG-1", interval_s=60)
        await self.set_clock(self.now)
        await self.post(
            "/v1/shipments",
            shipment_id="S1",
            organization="acme",
            device_ids=["LOG-1"],
            band="refrigerated",
            **plan,
        )
        await self.post("/v1/shipments/S1/depart", at=self.now.isoformat())

    async def webhook(self, **fields: Any) -> str:
        fields = {**fields, "url": "http://127.0.0.1:9/hook", "organization": "acme"}
        return str((await self.post("/v1/webhooks", **fields))["id"])

    async def set_clock(self, at: datetime) -> None:
        self.now = at
        await self.pool.execute("UPDATE clock.hands SET at = $1", at)

    async def read(self, celsius: float, seconds: int = 60, *, attends: bool = True) -> None:
        """One reading after so many seconds, and what the service does about it."""
        await self.set_clock(self.now + timedelta(seconds=seconds))
        reading = {"device_id": "LOG-1", "measured_at": self.now.isoformat(), "temperature_c": celsius}
        assert (await self.post("/v1/readings", readings=[reading]))["accepted"] == 1
        await evaluate_due(self.pool)
        if attends:
            await decide_due(self.pool)

    async def rest(self) -> None:
        await evaluate_due(self.pool)
        await decide_due(self.pool)

    async def sent(self, webhook_id: str) -> list[dict[str, Any]]:
        """The messages for a webhook, in the order of the events."""
        while (await fan_out(self.pool)).events:
            pass
        rows = await self.pool.fetch(
            "SELECT m.body FROM webhook_deliveries AS d JOIN webhook_messages AS m ON m.id = d.message_id "
            "WHERE d.webhook_id = $1::uuid ORDER BY split_part(m.id, '-', 1)::bigint",
            webhook_id,
        )
        return [json.loads(row["body"]) for row in rows]


def types(messages: list[dict[str, Any]]) -> list[str]:
    return [one["type"] for one in messages]


@pytest.fixture
async def course(database_url: str) -> AsyncIterator[Course]:
    connection = await asyncpg.connect(database_url)
    await connection.execute(CLOCK)
    await connection.execute("UPDATE clock.hands SET at = $1", AT)
    await connection.close()
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            asyncpg.create_pool(database_url, min_size=1, max_size=6, server_settings=SETTINGS)
        )
        engine = engine_for(database_url, settings=SETTINGS)
        stack.push_async_callback(engine.dispose)
        services = Services(
            engine=engine,
            ingest=Ingest(pool),
            authenticator=Authenticator(engine, admin_key=ADMIN_KEY, clock=lambda: course.now),
            hub=EventHub(pool),
            clock=lambda: course.now,
            webhook_targets=Targets([ip_network("127.0.0.0/8")]),
        )
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(create_app(services)),
            base_url="http://dewarwatch",
            headers={"Authorization": f"Bearer {ADMIN_KEY}"},
        )
        course = Course(pool, await stack.enter_async_context(client))
        yield course


async def followed(
    pool: asyncpg.Pool, wanted: Wanted, last: str, after: Position | None = BEGINNING
) -> list[str]:
    """What a listener hears up to the first event of a type, who goes on from the beginning, or else from now on."""
    hub, heard, stop = EventHub(pool), [], asyncio.Event()
    running = asyncio.create_task(hub.run(stop))
    async with asyncio.timeout(60), aclosing(hub.listen(wanted, after)) as frames:
        async for chunk in frames:
            heard += re.findall(r"^event: (.*)$", chunk.decode(), re.MULTILINE)
            if last in heard:
                break
    stop.set()
    await running
    return heard


def stated(row: str) -> int:
    """The number that the page states for a filter."""
    found = re.search(rf"^\| {re.escape(row)} \|.*?(\d+) \|$", PAGE, re.MULTILINE)
    assert found is not None, row
    return int(found[1])


async def test_a_warm_up_of_three_hours_sends_as_many_messages_as_the_page_says(course: Course) -> None:
    (told,) = re.findall(r"-d '(\{\"url\".*?\})'\)", PAGE, re.DOTALL)
    quickstart = told.replace("'\"$ENDPOINT\"'", "https://partner.example/hooks/dewars")
    hooks = {
        "the filter of step 2": await course.webhook(**json.loads(quickstart)),
        'the same with `"peaks": true`': await course.webhook(**{**json.loads(quickstart), "peaks": True}),
        '`"min_severity": "critical"` besides': await course.webhook(
            **json.loads(quickstart), min_severity="critical"
        ),
        "none": await course.webhook(),
    }
    opened_and_closed = frozenset({"excursion.opened", "excursion.closed"})
    wanted = Wanted(principal=OPS, min_severity=Severity.CRITICAL, types=opened_and_closed)
    live = asyncio.create_task(followed(course.pool, wanted, "excursion.closed", None))
    await course.begin()
    for minute in range(201):
        warming, cooling = 5 + 0.14 * (minute - 10), 4.5
        celsius = round(max(5.0, warming) if minute < 196 else cooling, 2)
        await course.read(celsius, attends=minute % 10 == 0)
    await course.post("/v1/shipments/S1/deliver", at=course.now.isoformat())
    await course.rest()
    sent = {name: await course.sent(id_) for name, id_ in hooks.items()}

    (excursion,) = (await course.http.get("/v1/excursions", params={"revisions": True})).json()["items"]
    lasted_s = _seconds(excursion)
    assert 2.5 * 3600 < lasted_s < 3 * 3600 + 600
    assert excursion["severity"] == "critical"
    assert len(excursion["revisions"]) > 150, "each step of the peak is on record"
    (few,) = (await course.http.get("/v1/excursions", params={"revisions": True, "peaks": False})).json()[
        "items"
    ]
    assert [one["reason"] for one in few["revisions"]] == ["limit_exceeded", "became_critical", "recovered"]
    one = (await course.http.get(f"/v1/excursions/{excursion['id']}", params={"peaks": False})).json()
    assert one["revisions"] == few["revisions"]

    usual = sent["the filter of step 2"]
    assert types(usual) == [
        *("shipment.departed", "excursion.opened", "excursion.became_critical", "excursion.closed"),
        "shipment.delivered",
    ]
    _, _, turn, end, delivered = usual
    assert end["data"]["peak_c"] == excursion["peak_c"], "the last peak is told with the end"
    assert turn["data"]["incident_id"] is not None
    figures = delivered["data"]["excursions"]
    assert (figures["closed"], figures["open"], figures["worst_severity"]) == (1, 0, "critical")
    assert (figures["highest_c"], figures["lowest_c"], figures["lasted_s"]) == (
        excursion["peak_c"],
        None,
        lasted_s,
    )

    # With the turn comes the opening that was below the filter; then all that comes of it.
    critical = sent['`"min_severity": "critical"` besides']
    assert types(critical) == types(usual)
    peaks = [m for m in sent['the same with `"peaks": true`'] if m["type"] == "excursion.amended"]
    assert {m["data"]["reason"] for m in peaks} == {"peak_moved"}
    of_excursion = [m for m in sent["none"] if m["type"].startswith("excursion.")]
    recorded = {r["revision"]: datetime.fromisoformat(r["recorded_at"]) for r in excursion["revisions"]}
    told = [(recorded[m["data"]["revision"]], m["data"]["peak_c"], m["type"]) for m in of_excursion]
    for (before, peak_before, _), (at, peak, type_) in pairwise(told):
        if type_ == "excursion.amended":
            assert at - before >= timedelta(minutes=10)
            assert peak - peak_before > 1
    hold(GOLDEN, usual)

    # The stream filters alike, for who resumes and for who listens.
    assert await followed(course.pool, wanted, "excursion.closed") == await live
    assert await live == ["excursion.opened", "excursion.closed"]
    incident_id = turn["data"]["incident_id"]
    of_incident = Wanted(principal=OPS, incident_ids=frozenset({incident_id}), peaks=False)
    heard = Counter(await followed(course.pool, of_incident, "incident.closed"))
    assert heard["incident.opened"] == heard["excursion.became_critical"] == heard["incident.closed"] == 1
    assert not {"excursion.amended", "shipment.delivered"} & heard.keys()
    assert {name: len(messages) for name, messages in sent.items()} == {name: stated(name) for name in sent}


def hold(golden: Path, messages: list[dict[str, Any]]) -> None:
    """Holds messages against a file, but for ids, and for the time of the database's default, which no test sets."""
    ids: dict[str, str] = {}
    text = json.dumps([{**one, "timestamp": "now"} for one in messages], indent=2, ensure_ascii=False) + "\n"
    text = re.sub(
        r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        lambda found: ids.setdefault(found[0], f"00000000-0000-4000-8000-{len(ids) + 1:012}"),
        text,
    )
    text = re.sub(r'"created_at": "[^"]*"', '"created_at": "now"', text)
    if os.environ.get("REWRITE"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert golden.read_text() == text


def _seconds(excursion: dict[str, Any]) -> float:
    start, end = (datetime.fromisoformat(excursion[name]) for name in ("start", "end"))
    return (end - start).total_seconds()


async def test_what_swings_around_its_limit_is_one_incident_and_one_or_two_messages(course: Course) -> None:
    way = {"channel": "email", "address": "desk@x.example", "outside_office_hours": True}
    desk = {"contact_id": "desk", "name": "Desk", "timezone": "UTC", "last_resort": True, "channels": [way]}
    await course.post("/v1/contacts", **desk)
    await course.begin(rules={"probe_fault": {"enabled": False}})
    for second in range(0, 1200, 20):
        await course.read(8.4 if second // 100 % 2 == 0 else 7.4, 20)
    alerts = (await course.http.get("/v1/alerts", params={"limit": 100})).json()["items"]
    excursions = [one for one in alerts if one["kind"] == "excursion"]
    assert len(excursions) == 6
    (incident_id,) = {one["incident_id"] for one in alerts}
    incident = (await course.http.get(f"/v1/incidents/{incident_id}")).json()
    assert incident["headline"].endswith("(on and off, 6 times)")
    assert await decisions(course) == [("pending", "nobody_else"), ("not_sent", "goes_on_and_off")]
    for minutes in (20, 20):  # it stays over: that is told once it cannot come back any more
        await course.read(5.0, minutes * 60)
    assert await decisions(course) == [
        *(("pending", "nobody_else"), ("not_sent", "goes_on_and_off")),
        ("pending", "resolved"),
    ]
    await course.read(8.4)
    (alert,) = (await course.http.get("/v1/alerts", params={"limit": 1})).json()["items"]
    assert alert["incident_id"] != incident_id, "half an hour later it is another one"


async def decisions(course: Course) -> list[tuple[str, str]]:
    rows = await course.pool.fetch(
        "SELECT state, reason FROM notifications WHERE reason <> 'no_contact' ORDER BY decided_at, id"
    )
    return [(row["state"], row["reason"]) for row in rows]


async def test_whoever_heard_that_it_is_critical_hears_that_it_is_not_and_that_it_is_over(
    course: Course,
) -> None:
    critical, major = await course.webhook(min_severity="critical"), await course.webhook()
    await course.begin(rules={"probe_fault": {"enabled": False}})
    for celsius in (5.0, 9.0, 26.0):
        await course.read(celsius)
    await course.post("/v1/shipments/S1/plan", critical_high_c=40, reason="The assay allows for it.")
    await course.rest()
    await course.read(5.0)
    await course.set_clock(course.now + timedelta(seconds=1))
    await course.rest()
    heard, all_ = await course.sent(critical), await course.sent(major)
    severe = [one for one in heard if "severity" in one["data"]]
    of_excursion = [one for one in severe if one["type"].startswith("excursion.")]
    assert [
        (one["type"], one["data"]["severity"], one["data"]["worst_severity"]) for one in of_excursion
    ] == [
        ("excursion.opened", "major", "major"),
        ("excursion.became_critical", "critical", "critical"),
        ("excursion.amended", "major", "critical"),
        ("excursion.closed", "major", "critical"),
    ]
    # So with alerts and incidents: nothing that was told as critical stays open for whoever hears of nothing else.
    assert {"alert.resolved", "incident.closed"} <= set(types(severe))
    hidden = [one for one in all_ if one not in heard]
    assert {one["data"]["worst_severity"] for one in hidden} == {"major"}
    assert {one["type"] for one in hidden} == {"alert.firing", "incident.opened"}


async def test_a_filter_by_incident_names_one_that_there_is(course: Course) -> None:
    unknown = "00000000-0000-4000-8000-000000000001"
    refused = await course.http.post(
        "/v1/webhooks", json={"url": "http://127.0.0.1:9/hook", "incident_ids": [unknown]}
    )
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "incident_ids")
    await course.begin()
    await course.read(9.0)
    (incident,) = (await course.http.get("/v1/incidents")).json()["items"]
    hook = await course.webhook(incident_ids=[incident["id"]])
    others = await course.http.post(
        "/v1/webhooks", json={"url": "http://127.0.0.1:9/hook", "incident_ids": [incident["id"], unknown]}
    )
    assert others.status_code == 422
    for _ in range(2):
        await course.read(5.0)
    await course.post("/v1/shipments/S1/deliver", at=course.now.isoformat())
    await course.rest()
    assert types(await course.sent(hook)) == ["excursion.closed", "alert.resolved", "incident.closed"]
    shown = (await course.http.get(f"/v1/webhooks/{hook}")).json()
    assert (shown["incident_ids"], shown["peaks"]) == ([incident["id"]], True)
    changed = await course.http.patch(f"/v1/webhooks/{hook}", json={"incident_ids": None, "peaks": False})
    assert (changed.json()["incident_ids"], changed.json()["peaks"]) == (None, False)
