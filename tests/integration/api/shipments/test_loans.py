"""Loggers and dewars are lent: who may use them, from when to when, and what the others are told, which is nothing."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from telemetry.model import RawMessage, Source
from tests.integration.api.conftest import Desk, problem, text

HoursAgo = Callable[[float], datetime]
THINGS = ("device", "dewar")


async def register(desk: Desk, thing: str, id_: str, **fields: Any) -> None:
    made = await desk.admin.post(f"/v1/{thing}s", json={f"{thing}_id": id_, **fields})
    assert made.status_code == 201, made.text


async def lend(desk: Desk, thing: str, id_: str, **fields: Any) -> dict[str, Any]:
    made = await desk.admin.post(f"/v1/{thing}s/{id_}/loans", json={"organization": "acme", **fields})
    assert made.status_code == 201, made.text
    return dict(made.json())


async def end(desk: Desk, thing: str, id_: str, loan: dict[str, Any], **fields: Any) -> httpx.Response:
    body = {"reason": "given back", **fields}
    return await desk.admin.post(f"/v1/{thing}s/{id_}/loans/{loan['id']}/end", json=body)


class Claims:
    """Claims of loggers and dewars, each with all else that a shipment needs; acme has a logger L-0, and a key."""

    def __init__(self, desk: Desk, acme: httpx.AsyncClient) -> None:
        self.desk, self.acme, self.number = desk, acme, 0

    @classmethod
    async def of(cls, desk: Desk) -> "Claims":
        return cls(desk, await desk.caller("ops", organization="acme"))

    async def claim(
        self, thing: str, id_: str, by: httpx.AsyncClient | None = None, **fields: Any
    ) -> httpx.Response:
        self.number += 1
        body = {"shipment_id": f"C{self.number}", "band": "cryogenic", **fields}
        if thing == "device":
            body["device_ids"] = [id_]
        else:
            logger = f"C{self.number}-logger"
            await register(self.desk, "device", logger)
            await lend(self.desk, "device", logger, **({"from": "2020-01-01T00:00:00Z"}))
            body |= {"device_ids": [logger], "dewar_id": id_}
        return await (by or self.acme).post("/v1/shipments", json=body)


@pytest.mark.parametrize("thing", THINGS)
async def test_an_organization_uses_what_is_lent_to_it_while_it_is(
    desk: Desk, thing: str, hours_ago: HoursAgo
) -> None:
    claims = await Claims.of(desk)
    await register(desk, thing, "T1")
    problem(await claims.claim(thing, "T1"), 409)  # free, but nobody lent it
    loan = await lend(desk, thing, "T1", **{"from": text(hours_ago(3))})
    problem(await claims.claim(thing, "T1", departed_at=text(hours_ago(4))), 409)  # before that
    made = await claims.claim(thing, "T1", departed_at=text(hours_ago(2)))
    assert made.status_code == 201, made.text
    await desk.admin.post(f"/v1/shipments/{made.json()['shipment_id']}/deliver")
    assert (await end(desk, thing, "T1", loan)).status_code == 200
    problem(await claims.claim(thing, "T1"), 409)
    problem(await claims.claim(thing, "T1", departed_at=text(hours_ago(1))), 409)  # nor in its past


@pytest.mark.parametrize("thing", THINGS)
async def test_what_is_unknown_in_use_or_anothers_is_refused_alike(
    desk: Desk, thing: str, hours_ago: HoursAgo
) -> None:
    claims = await Claims.of(desk)
    for id_ in ("FREE", "B-LENT", "B-USED", "B-HAS", "GONE", "SOON"):
        await register(desk, thing, id_)
    for id_ in ("B-LENT", "B-USED"):
        await lend(desk, thing, id_, organization="bcell", **{"from": text(hours_ago(9))})
    made = await claims.claim(thing, "B-USED", by=desk.admin, organization="bcell")
    assert made.status_code == 201, made.text
    await lend(desk, thing, "B-HAS")
    await claims.claim(thing, "B-HAS", by=desk.admin, organization="bcell")
    gone = await lend(desk, thing, "GONE", **{"from": text(hours_ago(9))})
    assert (await end(desk, thing, "GONE", gone, at=text(hours_ago(1)))).status_code == 200
    await lend(desk, thing, "SOON", **{"from": text(hours_ago(-1))})
    answers = {}
    for id_ in ("UNKNOWN", "FREE", "B-LENT", "B-USED", "B-HAS", "GONE", "SOON"):
        for fields in ({}, {"departed_at": text(hours_ago(2))}):
            refused = await claims.claim(thing, id_, **fields)
            assert refused.status_code == 409, (id_, refused.text)
            told = re.sub(rf"\b{id_}\b", "ID", refused.text)
            told = re.sub(r'"(request_id|instance)": ?"[^"]*"', "", told)
            told, later = re.subn(r" ID is lent to you from \S+ on\.", "", told)
            assert not later or id_ in {"B-HAS", "SOON"}  # a loan of its own, which it can read
            answers[id_, bool(fields)] = (told, sorted(refused.headers))
    assert len({repr(answer) for answer in answers.values()}) == 1, answers
    assert await desk.pool.fetchval("SELECT count(*) FROM shipments WHERE organization = 'acme'") == 0


@contextmanager
def statements(desk: Desk) -> Iterator[list[str]]:
    """What is asked of the database about anything but keys."""
    asked: list[str] = []
    engine = desk.services.engine.sync_engine

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "api_keys" not in statement:  # who calls is looked up again after some seconds
            asked.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("thing", THINGS)
async def test_what_is_unknown_and_what_is_anothers_cost_the_same_statements_and_wait_for_nobody(
    desk: Desk, thing: str
) -> None:
    claims = await Claims.of(desk)
    for id_ in ("FREE", "B-USED"):
        await register(desk, thing, id_)
    await lend(desk, thing, "B-USED", organization="bcell")
    await claims.claim(thing, "B-USED", by=desk.admin, organization="bcell")
    locked = {"device": "device_states", "dewar": "dewars"}[thing]
    await register(desk, "device", "OWN", organization="acme")
    told = []
    async with desk.pool.acquire() as other, other.transaction():
        await other.execute(f"SELECT FROM {locked} FOR UPDATE")  # as one who stores its readings has
        for id_ in ("UNKNOWN", "FREE", "B-USED"):
            body = {"shipment_id": "N1", "band": "room", "device_ids": [id_]}
            if thing == "dewar":
                body |= {"device_ids": ["OWN"], "dewar_id": id_}
            with statements(desk) as asked:
                refused = await asyncio.wait_for(claims.acme.post("/v1/shipments", json=body), 20)
            told.append((refused.status_code, asked))
    assert told[0] == told[1] == told[2]
    assert told[0][0] == 409


@pytest.mark.parametrize("thing", THINGS)
async def test_the_operator_assigns_anything_and_is_told_in_detail(desk: Desk, thing: str) -> None:
    claims = await Claims.of(desk)
    await register(desk, thing, "T1")
    await lend(desk, thing, "T1")
    made = await claims.claim(thing, "T1", by=desk.admin, organization="bcell")
    assert made.status_code == 201, made.text
    id_ = made.json()["shipment_id"]
    noun = {"device": "Logger", "dewar": "Dewar"}[thing]
    for organization in ("acme", None):
        again = await claims.claim(thing, "T1", by=desk.admin, organization=organization)
        expected = f"{noun} T1 is on shipment {id_} at that time: deliver or cancel it first."
        assert problem(again, 409)["detail"] == expected
    unknown = problem(await claims.claim(thing, "T9", by=desk.admin), 422)
    assert unknown["errors"][0]["field"] == ("device_ids" if thing == "device" else "dewar_id")


@pytest.mark.parametrize("thing", THINGS)
async def test_an_organizations_own_conflict_is_told_in_detail(
    desk: Desk, thing: str, hours_ago: HoursAgo
) -> None:
    claims = await Claims.of(desk)
    await register(desk, thing, "T1")
    await lend(desk, thing, "T1", **{"from": text(hours_ago(9))})
    made = await claims.claim(thing, "T1", departed_at=text(hours_ago(5)))
    id_ = made.json()["shipment_id"]
    assert f"is on shipment {id_} at that time" in problem(await claims.claim(thing, "T1"), 409)["detail"]
    await claims.acme.post(f"/v1/shipments/{id_}/deliver", json={"at": text(hours_ago(2))})
    early = await claims.claim(thing, "T1", departed_at=text(hours_ago(3)))
    assert f"was on shipment {id_} until" in problem(early, 409)["detail"]
    assert (await claims.claim(thing, "T1", departed_at=text(hours_ago(2)))).status_code == 201


@pytest.mark.parametrize("thing", THINGS)
async def test_a_start_is_moved_back_only_as_far_as_the_loan_goes(
    desk: Desk, thing: str, hours_ago: HoursAgo
) -> None:
    claims = await Claims.of(desk)
    await register(desk, thing, "T1")
    await lend(desk, thing, "T1", **{"from": text(hours_ago(3))})
    id_ = (await claims.claim(thing, "T1")).json()["shipment_id"]
    too_early = await claims.acme.post(f"/v1/shipments/{id_}/depart", json={"at": text(hours_ago(4))})
    assert "not available to you" in problem(too_early, 409)["detail"]
    packed = {"reason": "packed earlier", "packed_out_at": text(hours_ago(4))}
    assert (
        "T1" in problem(await claims.acme.post(f"/v1/shipments/{id_}/schedule", json=packed), 409)["detail"]
    )
    departed = await claims.acme.post(f"/v1/shipments/{id_}/depart", json={"at": text(hours_ago(3))})
    assert departed.status_code == 200, departed.text
    earlier = await desk.admin.post(f"/v1/shipments/{id_}/schedule", json=packed)
    assert earlier.status_code == 200  # the operator may
    starts_at = await desk.pool.fetchval(
        f"SELECT starts_at FROM {thing}_assignments WHERE {thing}_id = 'T1' AND shipment_id = $1",
        f"acme/{id_}",
    )
    assert starts_at == hours_ago(4)


@pytest.mark.parametrize("thing", THINGS)
async def test_loans_are_made_once_and_ended_on_record(desk: Desk, thing: str, hours_ago: HoursAgo) -> None:
    await register(desk, thing, "T1")
    path = f"/v1/{thing}s/T1/loans"
    body = {"organization": "acme", "from": text(hours_ago(2)), "reason": "study 17"}
    made = await desk.admin.post(path, json=body)
    loan = made.json()
    assert made.status_code == 201
    assert (loan[f"{thing}_id"], loan["organization"], loan["until"]) == ("T1", "acme", None)
    assert loan["reason"] == "study 17"
    for again in (body, {"organization": "acme"}):
        answer = await desk.admin.post(path, json=again)
        assert (answer.status_code, answer.json()) == (200, loan)
    other = problem(await desk.admin.post(path, json={"organization": "bcell"}), 409)
    assert "T1 is lent to acme from" in other["detail"]
    assert "end that loan first" in other["detail"]

    ended = await end(desk, thing, "T1", loan, at=text(hours_ago(1)))
    assert ended.json()["until"] == text(hours_ago(1)).replace("+00:00", "Z")
    (change,) = ended.json()["changes"]
    assert (change["reason"], change["was"]) == ("given back", {"until": None})
    assert (await end(desk, thing, "T1", loan, at=text(hours_ago(1)))).json() == ended.json()
    assert (await end(desk, thing, "T1", loan)).json() == ended.json()
    assert (
        "lend it again" in problem(await end(desk, thing, "T1", loan, at=text(hours_ago(0.5))), 409)["detail"]
    )
    problem(await end(desk, thing, "T1", loan, at=text(hours_ago(3))), 422)
    backwards = {"organization": "bcell", "from": text(hours_ago(1)), "until": text(hours_ago(1))}
    problem(await desk.admin.post(path, json=backwards), 422)
    second = await desk.admin.post(path, json={**backwards, "until": text(hours_ago(-1))})
    assert second.status_code == 201
    assert await desk.items(path) == [second.json(), ended.json()]
    problem(await desk.admin.post(path.replace("T1", "T9"), json=body), 404)
    problem(await desk.admin.get(path.replace("T1", "T9")), 404)
    problem(await end(desk, thing, "T9", loan), 404)


@pytest.mark.parametrize("thing", THINGS)
async def test_a_loan_ends_only_after_the_shipment_that_uses_it(
    desk: Desk, thing: str, hours_ago: HoursAgo
) -> None:
    claims = await Claims.of(desk)
    await register(desk, thing, "T1")
    loan = await lend(desk, thing, "T1", **{"from": text(hours_ago(9))})
    id_ = (await claims.claim(thing, "T1", departed_at=text(hours_ago(5)))).json()["shipment_id"]
    refused = problem(await end(desk, thing, "T1", loan), 409)["detail"]
    assert f"T1 is on shipment {id_} of acme: deliver or cancel it first" in refused
    assert (await end(desk, thing, "T1", loan, at=text(hours_ago(-1)))).status_code == 200
    await desk.admin.post(f"/v1/shipments/{id_}/deliver", json={"at": text(hours_ago(2))})
    early = problem(await end(desk, thing, "T1", loan, at=text(hours_ago(3))), 409)["detail"]
    assert "the loan ends then at the earliest" in early
    assert (await end(desk, thing, "T1", loan, at=text(hours_ago(2)))).status_code == 200


@pytest.mark.parametrize("thing", THINGS)
async def test_what_is_registered_for_an_organization_is_lent_at_once(desk: Desk, thing: str) -> None:
    claims = await Claims.of(desk)
    await register(desk, thing, "T1", organization="acme")
    (loan,) = await desk.items(f"/v1/{thing}s/T1/loans")
    assert (loan["organization"], loan["until"]) == ("acme", None)
    assert (await claims.claim(thing, "T1")).status_code == 201


@pytest.mark.parametrize("thing", THINGS)
async def test_loans_that_follow_on_each_other_are_as_one(
    desk: Desk, thing: str, hours_ago: HoursAgo
) -> None:
    claims = await Claims.of(desk)
    await register(desk, thing, "T1")
    await lend(desk, thing, "T1", **{"from": text(hours_ago(9)), "until": text(hours_ago(3))})
    await lend(desk, thing, "T1", **{"from": text(hours_ago(3))})
    assert (await claims.claim(thing, "T1", departed_at=text(hours_ago(5)))).status_code == 201


@pytest.mark.parametrize("thing", THINGS)
async def test_only_the_operator_lends(desk: Desk, thing: str) -> None:
    await register(desk, thing, "T1")
    await register(desk, thing, "T2")
    loan = await lend(desk, thing, "T1")
    await lend(desk, thing, "T2", organization="bcell")
    acme = await desk.caller("ops", organization="acme")
    body = {"organization": "acme", "reason": "x"}
    for path in (f"/v1/{thing}s/T2/loans", f"/v1/{thing}s/T1/loans/{loan['id']}/end"):
        assert "operating organization" in problem(await acme.post(path, json=body), 403)["detail"]
    assert await desk.items(f"/v1/{thing}s/T1/loans", acme) == [loan]
    hidden = {}
    for id_ in ("T2", "T9"):
        for path in (f"/v1/{thing}s/{id_}/loans", f"/v1/{thing}s/{id_}"):
            found = problem(await acme.get(path), 404)
            hidden[id_, path.replace(id_, "")] = found["detail"].replace(id_, "ID")
    assert hidden["T2", f"/v1/{thing}s//loans"] == hidden["T9", f"/v1/{thing}s//loans"]
    assert hidden["T2", f"/v1/{thing}s/"] == hidden["T9", f"/v1/{thing}s/"]
    bound = await desk.caller("ops", organization="acme", shipment_ids=["S1"])
    assert await desk.items(f"/v1/{thing}s", bound) == []
    problem(await bound.get(f"/v1/{thing}s/T1/loans"), 404)


async def test_of_many_at_once_one_gets_the_dewar(desk: Desk) -> None:
    await register(desk, "dewar", "W1")
    await desk.device(*(f"D{number}" for number in range(8)))

    async def make(number: int) -> int:
        body = {"shipment_id": f"S{number}", "band": "room", "device_ids": [f"D{number}"], "dewar_id": "W1"}
        return (await desk.admin.post("/v1/shipments", json=body)).status_code

    assert sorted(await asyncio.gather(*(make(number) for number in range(8)))) == [201] + [409] * 7
    assert await desk.pool.fetchval("SELECT count(*) FROM dewar_assignments") == 1
    assert await desk.pool.fetchval("SELECT count(*) FROM shipments WHERE dewar_id = 'W1'") == 1


@pytest.mark.parametrize("thing", THINGS)
async def test_of_two_loans_at_once_one_is_made(desk: Desk, thing: str) -> None:
    await register(desk, thing, "T1")
    path = f"/v1/{thing}s/T1/loans"
    made = await asyncio.gather(
        *(desk.admin.post(path, json={"organization": f"org-{number}"}) for number in range(6))
    )
    assert sorted(answer.status_code for answer in made) == [201] + [409] * 5


@pytest.mark.parametrize("thing", THINGS)
async def test_a_loan_is_not_ended_while_it_is_being_used(desk: Desk, thing: str) -> None:
    """Whichever of the two comes first, the other is refused: never is something on a shipment without a loan."""
    claims = await Claims.of(desk)
    outcomes = set()
    for number in range(6):
        id_ = f"T{number}"
        await register(desk, thing, id_)
        loan = await lend(desk, thing, id_, **{"from": "2020-01-01T00:00:00Z"})
        calls = [claims.claim(thing, id_), end(desk, thing, id_, loan)]
        if number % 2:
            calls.reverse()
        answers = await asyncio.gather(*calls)
        statuses = [answer.status_code for answer in answers]
        if number % 2:
            statuses.reverse()
        outcomes.add(tuple(statuses))
    assert outcomes <= {(201, 409), (409, 200)}


async def test_what_a_key_sees_of_a_logger_is_of_its_own_time(desk: Desk, hours_ago: HoursAgo) -> None:
    await register(desk, "device", "L1")
    acme = await desk.caller("qa", organization="acme")
    bcell = await desk.caller("ops", organization="bcell")
    await lend(
        desk,
        "device",
        "L1",
        organization="bcell",
        **{"from": text(hours_ago(9)), "until": text(hours_ago(5))},
    )
    assert await desk.items("/v1/devices", bcell) == []
    await sent(desk, "L1", hours_ago(6), lat=50.0, lon=8.6)
    await desk.pool.execute("UPDATE device_states SET last_received_at = $1", hours_ago(6))
    await desk.pool.execute(
        "UPDATE device_states SET connection = 'online', connection_at = $1", hours_ago(6)
    )
    await lend(desk, "device", "L1", **{"from": text(hours_ago(4))})
    (shown,) = await desk.items("/v1/devices", acme)
    assert shown == (await acme.get("/v1/devices/L1")).json()
    secret = ("shipment_id", "last_seen", "connection", "connection_at", "latest", "position")
    assert {name: shown[name] for name in secret} == dict.fromkeys(secret)
    assert shown["health"] == "never_seen"
    assert (await desk.admin.get("/v1/devices/L1")).json()["position"]["lat"] == 50.0

    await sent(desk, "L1", hours_ago(1), lat=51.0, lon=9.0)
    seen = (await acme.get("/v1/devices/L1")).json()
    assert (seen["position"]["lat"], seen["latest"]["temperature_c"], seen["health"]) == (51, -190, "normal")
    assert seen["connection"] is None

    # The operator takes it for a shipment of another organization: from then on it is out of sight.
    await desk.ship("B1", "L1", organization="bcell", departed_at=text(hours_ago(0.5)))
    await sent(desk, "L1", hours_ago(0.2), lat=52.0, lon=9.0)
    problem(await acme.get("/v1/devices/L1"), 404)
    assert await desk.items("/v1/devices", acme) == []
    theirs = (await bcell.get("/v1/devices/L1")).json()
    assert (theirs["shipment_id"], theirs["position"]["lat"]) == ("B1", 52)
    await desk.admin.post("/v1/shipments/B1/deliver", json={"at": text(hours_ago(0.1))})
    problem(await bcell.get("/v1/devices/L1"), 404)
    back = (await acme.get("/v1/devices/L1")).json()
    assert (back["latest"], back["position"], back["shipment_id"]) == (None, None, None)


async def sent(desk: Desk, device_id: str, at: datetime, **fields: Any) -> None:
    reading = {"device_id": device_id, "measured_at": text(at), "temperature_c": -190.0, **fields}
    stored = await desk.admin.post("/v1/readings", json={"readings": [reading]})
    assert stored.json()["rejected"] == [], stored.text


async def test_a_shipment_in_the_past_reads_nothing_of_before_its_loan(
    desk: Desk, hours_ago: HoursAgo
) -> None:
    """As somebody tried it: a planned shipment whose pack-out lies in another's time with the logger."""
    claims = await Claims.of(desk)
    await register(desk, "device", "L1")
    await desk.ship("B1", "L1", organization="bcell", departed_at=text(hours_ago(9)))
    for hours in (8, 7, 6):
        await sent(desk, "L1", hours_ago(hours), lat=50.0, lon=8.6)
    await desk.admin.post("/v1/shipments/B1/deliver", json={"at": text(hours_ago(5))})
    problem(await claims.claim("device", "L1", packed_out_at=text(hours_ago(8))), 409)
    problem(await claims.claim("device", "L1", packed_out_at=text(hours_ago(5))), 409)
    await lend(desk, "device", "L1", **{"from": text(hours_ago(2))})
    made = await claims.claim("device", "L1", packed_out_at=text(hours_ago(2)))
    assert made.status_code == 201, made.text
    id_ = made.json()["shipment_id"]
    shown = (await claims.acme.get(f"/v1/shipments/{id_}")).json()["devices"][0]
    assert (shown["latest"], shown["position"], shown["last_seen"]) == (None, None, None)
    assert await desk.items(f"/v1/shipments/{id_}/readings", claims.acme) == []
    for earlier in (8, 3):
        moved = {"reason": "packed earlier", "packed_out_at": text(hours_ago(earlier))}
        problem(await claims.acme.post(f"/v1/shipments/{id_}/schedule", json=moved), 409)


async def test_dewars_are_shown_with_the_charges_of_ones_own_time(desk: Desk, hours_ago: HoursAgo) -> None:
    await register(desk, "dewar", "W1", hold_time_h=240, last_charged_at=text(hours_ago(9)))
    await register(desk, "dewar", "W2")
    acme = await desk.caller("ops", organization="acme")
    assert await desk.items("/v1/dewars", acme) == []
    await lend(desk, "dewar", "W1", **{"from": text(hours_ago(5))})
    (shown,) = await desk.items("/v1/dewars", acme)
    assert (shown["dewar_id"], shown["hold_time_h"], shown["last_charged_at"]) == ("W1", 240, None)
    await acme.post("/v1/dewars/W1/charge", json={"at": text(hours_ago(4))})
    shown = (await acme.get("/v1/dewars/W1")).json()
    assert datetime.fromisoformat(shown["last_charged_at"]) == hours_ago(4)
    assert len(await desk.items("/v1/dewars/W1/charges", acme)) == 1
    assert len(await desk.items("/v1/dewars/W1/charges")) == 2
    assert await desk.items("/v1/dewars", acme, q="w2") == []
    assert "operating organization" in problem(await acme.get("/v1/dewars/W1/revisions"), 403)["detail"]


async def test_a_loan_that_is_in_the_way_says_what_helps(desk: Desk) -> None:
    await desk.device("LA1")
    path, start = "/v1/devices/LA1/loans", datetime(2026, 11, 1, tzinfo=UTC)

    async def lend(days: tuple[int, int | None], **more: str) -> httpx.Response:
        first, last = days
        until = None if last is None else (start + timedelta(days=last)).isoformat()
        begins = (start + timedelta(days=first)).isoformat()
        return await desk.admin.post(
            path, json={"organization": "alpha", "from": begins, "until": until} | more
        )

    assert (await lend((5, 10))).status_code == 201
    told = problem(await lend((2, None)), 409)["detail"]
    assert "for the time before, lend it with until 2026-11-06T00:00:00Z" in told
    assert "for the time after, lend it from 2026-11-11T00:00:00Z on" in told
    assert (await lend((2, 5))).status_code == 201
    assert (await lend((10, None))).status_code == 201
    assert "end that loan first" in problem(await lend((6, 7), organization="beta"), 409)["detail"]


async def test_a_loan_is_not_given_another_reason_in_silence(desk: Desk) -> None:
    await desk.device("LA1")
    body = {"organization": "alpha", "from": "2026-11-01T00:00:00Z"}
    path = "/v1/devices/LA1/loans"
    assert (await desk.admin.post(path, json=body)).status_code == 201
    assert (await desk.admin.post(path, json=body)).status_code == 200
    told = problem(await desk.admin.post(path, json=body | {"reason": "for the trial"}), 409)["detail"]
    assert "already, without a reason" in told


async def test_who_departs_too_early_learns_since_when_a_logger_is_lent(desk: Desk) -> None:
    await desk.device("LA1")
    ops = await desk.caller("ops", organization="alpha")
    now = datetime.now(UTC).replace(microsecond=0)
    lent = {"organization": "alpha", "from": (now - timedelta(minutes=5)).isoformat()}
    assert (await desk.admin.post("/v1/devices/LA1/loans", json=lent)).status_code == 201
    early = {
        "shipment_id": "S1",
        "band": "cryogenic",
        "device_ids": ["LA1"],
        "departed_at": (now - timedelta(hours=3)).isoformat(),
    }
    told = problem(await ops.post("/v1/shipments", json=early), 409)["detail"]
    since = (now - timedelta(minutes=5)).isoformat().replace("+00:00", "Z")
    assert f"LA1 is lent to you from {since} on." in told
    # Of a loan to somebody else nothing is said.
    other = await desk.caller("ops", organization="beta")
    assert "is lent to you from" not in problem(await other.post("/v1/shipments", json=early), 409)["detail"]


def said(desk: Desk, logger: str, *readings: dict[str, Any]) -> Any:
    """What a logger says at the broker, as it is received now."""
    payload = json.dumps(readings).encode()
    topic = f"dewar/v1/{logger}/readings"
    return desk.services.ingest.store([RawMessage(Source.MQTT, topic, payload, datetime.now(UTC))])


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize("by_loans", [True, False], ids=["lent", "used by the operator for both"])
async def test_what_a_former_holders_logger_said_of_a_time_ahead_is_no_part_of_the_next_ones_shipment(
    desk: Desk, by_loans: bool
) -> None:
    claims = await Claims.of(desk)
    bcell = await desk.caller("ops", organization="bcell") if by_loans else desk.admin
    more = {} if by_loans else {"organization": "bcell"}
    await register(desk, "device", "L1")
    if by_loans:
        loan = await lend(desk, "device", "L1")
    else:
        await desk.ship("A1", "L1", organization="acme", departed_at=text(soon(-60)))
        await desk.admin.post("/v1/shipments/A1/deliver", json={})
    planted = [
        {"measured_at": text(soon(seconds)), "temperature_c": -22, "seq": seconds} for seconds in (290, 295)
    ]
    await said(desk, "L1", {"measured_at": text(soon(-1)), "temperature_c": -180, "seq": 0}, *planted)
    if by_loans:
        assert (await end(desk, "device", "L1", loan)).status_code == 200
        await lend(desk, "device", "L1", organization="bcell")
    made = await claims.claim("device", "L1", by=bcell, **more)
    assert made.status_code == 201, made.text
    latest = await desk.pool.fetchval("SELECT temperature_c FROM device_states WHERE device_id = 'L1'")
    assert latest == -180, "what is shown as the latest is not it either"
    name = made.json()["shipment_id"]
    assert (await bcell.post(f"/v1/shipments/{name}/depart", json={})).status_code == 200
    await said(desk, "L1", {"measured_at": text(soon(280)), "temperature_c": -181, "seq": 1000})  # its own
    counted = await desk.pool.fetch("SELECT temperature_c FROM readings WHERE measured_at > now()")
    assert [row["temperature_c"] for row in counted] == [-181]
    (kept,) = await desk.items("/v1/rejected")
    assert (kept["reason"], kept["device_id"]) == ("not_yours", "L1")
    assert kept["detail"].startswith("2 readings")
    (payload,) = await desk.pool.fetchrow("SELECT payload FROM refused_messages")
    assert [one["temperature_c"] for one in json.loads(payload)] == [-22, -22]


async def test_what_an_organizations_own_logger_said_with_a_fast_clock_is_kept(desk: Desk) -> None:
    """From one of its shipments to the next one, and while nobody else ever had it."""
    claims = await Claims.of(desk)
    await register(desk, "device", "L1")
    other = await lend(desk, "device", "L1", organization="bcell")
    assert (await end(desk, "device", "L1", other)).status_code == 200
    await lend(desk, "device", "L1")
    for number in (1, 2):
        await said(
            desk, "L1", {"measured_at": text(soon(100 * number)), "temperature_c": -180, "seq": number}
        )
        made = await claims.claim("device", "L1")
        assert made.status_code == 201, made.text
        if number == 1:
            await claims.acme.post(
                f"/v1/shipments/{made.json()['shipment_id']}/cancel", json={"reason": "not packed after all"}
            )
    assert await desk.pool.fetchval("SELECT count(*) FROM readings") == 2
    assert await desk.items("/v1/rejected") == []
