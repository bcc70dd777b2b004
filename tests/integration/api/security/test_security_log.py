"""The security log: who came in, who was refused, who changed what; told with the commit, and never a secret."""

import asyncio
import contextlib
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from alerts.outbound.resolve import Targets
from api import retention
from api.security import log as security_log
from api.security.log import SecurityLog
from api.transactions import after_commit, begin
from tests.integration.api.conftest import ADMIN_KEY, Desk, MakeDesk, MakeServices, problem, until

YEAR = timedelta(days=365)


@pytest.fixture
async def desk(make_desk: MakeDesk, make_services: MakeServices) -> Desk:
    targets = Targets([ip_network("127.0.0.0/8")])
    return await make_desk(make_services(webhook_targets=targets, security=SecurityLog()))


async def events(desk: Desk, **asked: Any) -> list[dict[str, Any]]:
    """What is on record, the first first, once what was noted is written."""
    await desk.services.security.flush(desk.pool)
    return (await desk.items("/v1/security-events", **asked))[::-1]


async def test_changes_are_on_record_with_who_did_them_and_from_where(desk: Desk) -> None:
    secrets = [ADMIN_KEY]
    made = (await desk.admin.post("/v1/keys", json={"role": "ops", "organization": "acme"})).json()
    hook = (
        await desk.admin.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/hook?token=hidden"})
    ).json()
    here = f"/v1/webhooks/{hook['id']}"
    await desk.device("LOG-1")
    await desk.admin.post("/v1/devices/LOG-1/rotate-credentials")
    await desk.admin.patch(here, json={"description": "ours", "url": "http://127.0.0.1:9/?token=hidden"})
    secrets += [
        (await desk.admin.post(f"{here}/rotate-secret")).json()["secret"],
        hook["secret"],
        made["key"],
    ]
    await desk.admin.post(f"{here}/pause")
    await desk.admin.post(f"{here}/resume")
    await desk.admin.delete(here)
    loan = (await desk.admin.post("/v1/devices/LOG-1/loans", json={"organization": "acme"})).json()
    end = {"reason": "it is given back"}
    await desk.admin.post(f"/v1/devices/LOG-1/loans/{loan['id']}/end", json=end)
    await desk.admin.delete(f"/v1/keys/{made['id']}")
    found = [one for one in await events(desk) if one["type"] not in {"sign_in", "refused"}]
    assert [(one["type"], one["subject"].split(":")[0]) for one in found] == [
        ("key_created", "key"),
        ("webhook_created", "webhook"),
        ("logger_registered", "logger"),
        ("logger_credentials_rotated", "logger"),
        ("webhook_changed", "webhook"),
        ("webhook_secret_rotated", "webhook"),
        ("webhook_paused", "webhook"),
        ("webhook_resumed", "webhook"),
        ("webhook_deleted", "webhook"),
        ("lent", "logger"),
        ("loan_ended", "logger"),
        ("key_revoked", "key"),
    ]
    for one in found:
        assert (one["actor"], one["key_prefix"]) == ("key:admin-key-setting", "admin-key-setting")
        assert (one["address"], one["count"], one["last_at"]) == ("127.0.0.1", 1, None)
        assert one["call"].startswith(("POST /v1/", "PATCH /v1/", "DELETE /v1/"))
    assert found[0]["subject"] == found[-1]["subject"] == f"key:{made['key'][:11]}"
    assert found[0]["details"]["organization"] == "acme"
    assert found[4]["details"] == {"changed": ["description", "url"]}
    said = json.dumps(found)
    assert not [secret for secret in [*secrets, "hidden"] if secret in said]


async def test_the_first_use_of_a_key_from_an_address_is_told_once_whoever_notes_it(desk: Desk) -> None:
    client = await desk.caller("ops")
    for _ in range(3):
        await client.get("/v1/alerts")
    with capture_logs() as logs:
        (_, of_key) = await events(desk, type="sign_in")
    assert of_key["key_prefix"] == client.headers["authorization"][7:18]
    assert (of_key["address"], of_key["call"]) == ("127.0.0.1", "GET /v1/alerts")
    assert sum(line["event"] == "sign_in" for line in logs) == 2
    desk.services.security._seen.clear()  # as after a restart
    desk.services.security._tally.take_due(datetime.now(UTC), all_=True)
    with capture_logs() as logs:
        await client.get("/v1/alerts")
        assert len(await events(desk, type="sign_in")) == 2
    assert not [line for line in logs if line["event"] == "sign_in"]


async def test_a_flood_of_refusals_is_a_record_and_a_number(desk: Desk) -> None:
    viewer = await desk.caller("viewer", organization="acme")
    stranger = await desk.client()
    given = "dw_0badc0de_" + "a" * 43
    with capture_logs() as logs:
        for _ in range(20):
            problem(await viewer.get("/v1/keys"), 403)
            problem(await viewer.get("/v1/shipments/none"), 404)
            problem(await stranger.get("/v1/alerts", headers={"Authorization": f"Bearer {given}"}), 401)
            problem(await stranger.get("/v1/alerts"), 401)
        found = await events(desk, type="refused")
    expected = {
        (403, "GET /v1/keys"): viewer.headers["authorization"][7:18],
        (404, "GET /v1/shipments/{shipment_id}"): viewer.headers["authorization"][7:18],
        (401, "GET /v1/alerts"): given[:11],
    }
    firsts = [one for one in found if one["last_at"] is None]
    assert {(one["status"], one["call"]): one["key_prefix"] for one in firsts} == expected
    assert [one["count"] for one in firsts] == [1, 1, 1]
    more = {one["status"]: one["count"] for one in found if one["last_at"] is not None}
    assert more == {403: 19, 404: 19, 401: 39}
    assert sum(line["event"] == "refused" for line in logs) == 6
    assert given not in json.dumps(found)
    assert given not in str(logs)
    problem(await viewer.get("/v1/alerts", params={"nonsense": 1}), 422)
    assert len(await events(desk, type="refused")) == 6  # a mistake is no refusal


async def test_each_key_that_was_valid_once_has_its_own_refusals(desk: Desk) -> None:
    """Also from one address: whoever uses a revoked key is found by its prefix."""
    revoked, expired = await desk.key("ops"), await desk.key("ops")
    for made in await desk.items("/v1/keys"):
        if made["prefix"] == revoked[:11]:
            for _ in range(2):
                assert (await desk.admin.delete(f"/v1/keys/{made['id']}")).status_code == 204
    await desk.pool.execute("UPDATE api_keys SET expires_at = now() WHERE prefix = $1", expired[:11])
    for key in (revoked, expired, revoked, f"dw_0badc0de_{'a' * 43}"):
        problem(await (await desk.client(key)).get("/v1/alerts"), 401)
    for key, counts in ((revoked, [1, 1]), (expired, [1])):
        found = await events(desk, key_prefix=key[:11], type="refused")
        assert [one["count"] for one in found] == counts
    assert len(await events(desk, type="key_revoked")) == 1


async def test_a_refusal_says_what_it_was_about(desk: Desk) -> None:
    viewer = await desk.caller("viewer", organization="acme")
    await desk.services.security.flush(desk.pool)
    ids = [str(uuid4()) for _ in range(3)]
    for id_ in ids:
        problem(await viewer.post(f"/v1/alerts/{id_}/acknowledge"), 403)
    problem(await viewer.delete(f"/v1/keys/dw_0badc0de_{'a' * 43}"), 403)
    first, more = await events(desk, type="refused")
    assert (first["subject"], first["call"]) == (
        f"alert:{ids[0]}",
        "POST /v1/alerts/{alert_id}/acknowledge",
    )
    assert more["details"]["counted"] == {
        "call": {"POST /v1/alerts/{alert_id}/acknowledge": 2, "DELETE /v1/keys/{key_id}": 1},
        "subject": {f"alert:{ids[1]}": 1, f"alert:{ids[2]}": 1, "key:dw_0badc0de": 1},
    }
    assert [one["id"] for one in await events(desk, subject=f"alert:{ids[2]}")] == [more["id"]]


async def test_the_latest_comes_first_although_what_is_counted_is_written_late(desk: Desk) -> None:
    viewer = await desk.caller("viewer", organization="acme")
    for _ in range(2):
        problem(await viewer.get("/v1/keys"), 403)
    await desk.key("ops")  # written at once, and the count of refusals after it
    times = [one["at"] for one in await events(desk)]
    assert times == sorted(times)


async def test_filters_and_pages_and_who_may(desk: Desk) -> None:
    key = await desk.key("ops")
    client = await desk.client(key)
    problem(await client.get("/v1/keys"), 403)
    problem(await client.get("/v1/security-events"), 403)
    all_ = await events(desk)
    for asked, expected in [
        ({"type": "key_created"}, ["key_created"]),
        ({"type": ["key_created", "refused"]}, ["key_created", "refused", "refused"]),
        ({"key_prefix": key[:11]}, ["sign_in", "refused", "refused"]),
        ({"actor": f"key:{key[:11]}", "status": 403}, ["refused", "refused"]),
        ({"subject": f"key:{key[:11]}"}, ["key_created"]),
        ({"address": "192.0.2.1"}, []),
        ({"from": "2100-01-01T00:00:00Z"}, []),
        ({"to": "2000-01-01T00:00:00Z"}, []),
    ]:
        found = [one["type"] for one in await events(desk, **asked)]
        assert sorted(found) == sorted(expected), asked
    first = (await desk.admin.get("/v1/security-events", params={"limit": 2})).json()
    assert first["items"] == all_[::-1][:2]
    rest = (await desk.admin.get("/v1/security-events", params={"cursor": first["next_cursor"]})).json()
    assert rest["items"] == all_[::-1][2:]
    assert (await (await desk.caller("qa")).get("/v1/security-events")).status_code == 200
    of_acme = await desk.caller("qa", organization="acme")
    problem(await of_acme.get("/v1/security-events"), 403)


async def test_nothing_is_said_before_it_is_committed(desk: Desk) -> None:
    """For each change: a transaction that cannot commit leaves neither a row nor a line."""
    made = (await desk.admin.post("/v1/keys", json={"role": "ops"})).json()
    hook = (await desk.admin.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/hook"})).json()
    await desk.device("LOG-1", "LOG-3")
    loan = (await desk.admin.post("/v1/devices/LOG-3/loans", json={"organization": "acme"})).json()
    before = len(await events(desk))
    await desk.pool.execute(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'"
    )
    await desk.pool.execute(
        "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON security_events DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW WHEN (NEW.type NOT IN ('sign_in', 'refused')) EXECUTE FUNCTION no()"
    )
    here = f"/v1/webhooks/{hook['id']}"
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/v1/keys", {"role": "ops"}),
        ("DELETE", f"/v1/keys/{made['id']}", None),
        ("POST", "/v1/devices", {"device_id": "LOG-2"}),
        ("POST", "/v1/devices/LOG-1/rotate-credentials", None),
        ("POST", "/v1/webhooks", {"url": "http://127.0.0.1:9/hook"}),
        ("PATCH", here, {"description": "ours"}),
        *(("POST", f"{here}/{step}", None) for step in ("rotate-secret", "test", "pause", "resume")),
        ("POST", f"{here}/replay", {"failed": True}),
        ("DELETE", here, None),
        ("POST", "/v1/devices/LOG-1/loans", {"organization": "acme"}),
        ("POST", f"/v1/devices/LOG-3/loans/{loan['id']}/end", {"reason": "it is given back"}),
    ]
    for method, path, body in calls:
        with capture_logs() as logs:
            assert (await desk.admin.request(method, path, json=body)).status_code == 500, path
        assert [line["event"] for line in logs if line["event"] != "request"] == ["request_failed"], path
    assert len(await events(desk)) == before


async def test_what_is_to_be_said_after_a_commit_needs_a_transaction_that_says_it(desk: Desk) -> None:
    said: list[str] = []
    async with begin(desk.services.engine) as connection:
        after_commit(connection, lambda: said.append("committed"))
        assert said == []
    assert said == ["committed"]
    with contextlib.suppress(ZeroDivisionError):
        async with begin(desk.services.engine) as connection:
            after_commit(connection, lambda: said.append("rolled back"))
            raise ZeroDivisionError
    assert said == ["committed"]
    async with desk.services.engine.begin() as connection:
        with pytest.raises(RuntimeError, match="begin"):
            after_commit(connection, lambda: None)


async def test_rows_are_appended_and_only_retention_removes_them(desk: Desk) -> None:
    await desk.key("ops")
    assert len(await events(desk)) == 2
    for statement in (
        "UPDATE security_events SET actor = 'nobody'",
        "DELETE FROM security_events",
        "TRUNCATE security_events",
    ):
        with pytest.raises(asyncpg.RaiseError, match="never changed"):
            await desk.pool.execute(statement)
    assert await retention.prune(desk.pool, refused=YEAR, security_events=YEAR) == (0, 0, 0)
    assert await retention.prune(desk.pool, refused=YEAR, security_events=timedelta()) == (0, 2, 0)


async def test_a_database_that_is_away_costs_no_call_its_time_and_nothing_is_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security_log, "WAITING_AT_MOST", 3)
    noted, stop = desk.services.security, asyncio.Event()
    viewer = await desk.caller("viewer", organization="acme")
    await viewer.get("/v1/alerts")
    await events(desk)
    async with desk.pool.acquire() as blocking:
        transaction = blocking.transaction()
        await transaction.start()
        await blocking.execute("LOCK security_events IN ACCESS EXCLUSIVE MODE")
        writing = asyncio.create_task(noted.run(desk.pool, stop))
        with capture_logs() as logs:
            for number in range(9):
                noted._tally.take_due(datetime.now(UTC), all_=True)
                async with asyncio.timeout(5):
                    problem(await viewer.get(f"/v1/shipments/none-{number}"), 404)
        await transaction.rollback()
    assert sum(line["event"] == "refused" for line in logs) == 9

    async def written() -> bool:
        return await desk.pool.fetchval(
            "SELECT sum(count) = 9 FROM security_events WHERE type <> 'sign_in' AND type <> 'key_created'"
        )

    await until(written)
    stop.set()
    await writing
    assert await desk.pool.fetchval("SELECT count FROM security_events WHERE type = 'not_recorded'") == 6


def test_the_lines_have_a_logger_of_their_own_and_a_file(tmp_path: Path) -> None:
    """In a process of its own: structlog's configuration is the process's."""
    file = tmp_path / "security.jsonl"
    program = (
        "import sys\n"
        "from datetime import UTC, datetime\n"
        "from api.logs import configure\n"
        "from api.security.events import SecurityEvent, SecurityEventType\n"
        "from api.security.record import say\n"
        "configure(json=True, level='error', security_file=sys.argv[1])\n"
        "say(SecurityEvent(type=SecurityEventType.REFUSED, at=datetime.now(UTC), status=401, address='192.0.2.1'))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True
    )
    (said,) = [json.loads(line) for line in ran.stderr.splitlines()]
    (filed,) = [json.loads(line) for line in file.read_text().splitlines()]
    for line in (said, filed):
        assert line["logger"] == "dewarwatch.security"
        assert (line["event"], line["status"], line["address"]) == ("refused", 401, "192.0.2.1")
