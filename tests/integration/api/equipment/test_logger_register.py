"""Loggers are registered as shippers are: every description on record, calibrations, retirement, many at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from api.identity.device_credentials import BrokerUnreachableError
from tests.integration.api.conftest import Desk, MakeDesk, MakeServices, problem, text

HoursAgo = Callable[[float], datetime]
WHY = "its battery leaks"
BULK = "/v1/devices/bulk"


@dataclass
class Accounts:
    """What the broker was told."""

    passwords: dict[str, str] = field(default_factory=dict)
    away: bool = False
    broker: str | None = None

    async def grant(self, device_id: str, password: str) -> None:
        await self.grant_all({device_id: password})

    async def grant_all(self, passwords: Mapping[str, str]) -> None:
        if self.away:
            raise BrokerUnreachableError("no answer")
        self.passwords |= passwords

    async def revoke(self, device_id: str) -> None:
        if self.away:
            raise BrokerUnreachableError("no answer")
        self.passwords.pop(device_id, None)


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
async def desk(make_desk: MakeDesk, make_services: MakeServices, accounts: Accounts) -> Desk:
    return await make_desk(make_services(device_credentials=accounts))


async def test_every_description_of_a_logger_stays_on_record(desk: Desk) -> None:
    await desk.device("L1")
    body = {"interval_s": 300, "model": "TX-9", "reason": "every five minutes now", "revision": 1}
    changed = await desk.admin.patch("/v1/devices/L1", json=body)
    assert (changed.status_code, changed.json()["interval_s"], changed.json()["revision"]) == (200, 300, 2)
    assert (await desk.admin.patch("/v1/devices/L1", json=body)).json()["revision"] == 2  # the same again
    problem(await desk.admin.patch("/v1/devices/L1", json={"model": "TX-10", "revision": 1}), 409)
    problem(await desk.admin.patch("/v1/devices/none", json={"model": "TX-10"}), 404)
    first, second = await desk.items("/v1/devices/L1/revisions")
    assert (first["model"], second["model"], second["reason"]) == (None, "TX-9", "every five minutes now")
    assert first["updated_by"] == second["updated_by"] == "key:admin-key-setting"


async def test_the_newest_certificate_says_when_a_logger_is_due(desk: Desk, hours_ago: HoursAgo) -> None:
    await desk.device("L1")
    new = {
        "certificate": "K-2",
        "calibrated_at": text(hours_ago(24)),
        "due_at": text(hours_ago(-8000)),
        "sha256": "ab" * 32,
    }
    old = {"certificate": "K-1", "calibrated_at": text(hours_ago(9000)), "due_at": text(hours_ago(200))}
    for body in (new, old):
        assert (await desk.admin.post("/v1/devices/L1/calibrations", json=body)).status_code == 201
    assert (await desk.admin.post("/v1/devices/L1/calibrations", json=old)).status_code == 200
    shown = (await desk.admin.get("/v1/devices/L1")).json()
    assert datetime.fromisoformat(shown["calibration_due"]) == hours_ago(-8000)
    listed = await desk.items("/v1/devices/L1/calibrations")
    assert [one["certificate"] for one in listed] == ["K-2", "K-1"]
    assert listed[0]["sha256"] == "ab" * 32
    detail = problem(await desk.admin.post("/v1/devices/L1/calibrations", json={**new, "note": "x y"}), 409)
    assert "with another note" in detail["detail"]
    backwards = {"certificate": "K-3", "calibrated_at": new["due_at"], "due_at": new["calibrated_at"]}
    problem(await desk.admin.post("/v1/devices/L1/calibrations", json=backwards), 422)


async def test_a_retired_logger_is_shut_out_and_goes_nowhere(desk: Desk, accounts: Accounts) -> None:
    await desk.ship("S1", *(await devices(desk, "L1")))
    retire = {"reason": WHY}
    detail = problem(await desk.admin.post("/v1/devices/L1/retire", json=retire), 409)["detail"]
    assert "is on shipment S1" in detail
    assert (
        await desk.admin.post("/v1/shipments/S1/cancel", json={"reason": "not needed"})
    ).status_code == 200
    accounts.away = True
    problem(await desk.admin.post("/v1/devices/L1/retire", json=retire), 503)
    assert (await desk.admin.get("/v1/devices/L1")).json()["retired_at"] is None
    accounts.away = False
    for _ in range(2):
        assert (await desk.admin.post("/v1/devices/L1/retire", json=retire)).status_code == 200
    assert "L1" not in accounts.passwords
    problem(await desk.admin.post("/v1/devices/L1/rotate-credentials"), 409)
    body = {"shipment_id": "S2", "band": "cryogenic", "device_ids": ["L1"]}
    assert "retired" in problem(await desk.admin.post("/v1/shipments", json=body), 409)["detail"]
    undone = {"reason": "it was repaired after all", "undo": True}
    assert (await desk.admin.post("/v1/devices/L1/retire", json=undone)).json()["retired_at"] is None
    assert (await desk.admin.post("/v1/devices/L1/rotate-credentials")).status_code == 200
    assert (await desk.admin.post("/v1/shipments", json=body)).status_code == 201
    assert [one["reason"] for one in await desk.items("/v1/devices/L1/revisions")] == [
        *(None, WHY, "it was repaired after all"),
    ]


async def devices(desk: Desk, *device_ids: str) -> tuple[str, ...]:
    await desk.device(*device_ids)
    return device_ids


async def test_a_lost_logger_is_shut_out_until_it_gets_a_new_password(desk: Desk, accounts: Accounts) -> None:
    await desk.device("L1")
    answer = await desk.admin.post(
        "/v1/devices/L1/revoke-credentials", json={"reason": "lost at the airport"}
    )
    assert (answer.status_code, accounts.passwords) == (204, {})
    (event, *_) = await desk.items("/v1/security-events", type="logger_credentials_revoked")
    assert (event["subject"], event["details"]["reason"]) == ("logger:L1", "lost at the airport")


async def test_many_are_registered_at_once_all_or_none(desk: Desk, accounts: Accounts) -> None:
    new = [{"device_id": f"L{n}", "interval_s": 60, "organization": "acme"} for n in range(200)]
    tried = await desk.admin.post(BULK, json={"devices": new}, params={"dry_run": "true"})
    assert (tried.status_code, tried.json()) == (200, {"dry_run": True, "registered": 200, "devices": []})
    assert accounts.passwords == {}
    accounts.away = True
    problem(await desk.admin.post(BULK, json={"devices": new}), 503)
    assert await desk.items("/v1/devices") == []
    accounts.away = False
    made = (await desk.admin.post(BULK, json={"devices": new})).json()
    assert {one["device_id"]: one["mqtt"]["password"] for one in made["devices"]} == accounts.passwords
    assert len(accounts.passwords) == 200
    wrong = [{"device_id": "NEW"}, {"device_id": "L7"}, {"device_id": "NEW"}, {"device_id": "L9"}]
    found = problem(await desk.admin.post(BULK, json={"devices": wrong}), 422)
    assert [one["field"] for one in found["errors"]] == ["devices[2].device_id"]
    for params in ({}, {"dry_run": "true"}):
        found = problem(
            await desk.admin.post(BULK, json={"devices": [*wrong[:2], wrong[3]]}, params=params), 422
        )
        assert [one["field"] for one in found["errors"]] == ["devices[1].device_id", "devices[2].device_id"]
    acme = await desk.caller("ops", organization="acme")
    assert len(await desk.items("/v1/devices", acme, limit="200")) == 200
    assert len(await desk.items("/v1/devices/L3/revisions")) == 1
    problem(await acme.post(BULK, json={"devices": [{"device_id": "NEW"}]}), 403)


async def test_many_are_registered_as_csv(desk: Desk) -> None:
    async def send(body: str, **params: Any) -> Any:
        headers = {"Content-Type": "text/csv; charset=utf-8"}
        return await desk.admin.post(BULK, content=body.encode(), headers=headers, params=params)

    good = (
        "\ufeffdevice_id,model,interval_s,calibration_due\r\nA1,TX-9,60,2027-06-01T00:00:00Z\r\nA2,,,\r\n\r\n"
    )
    assert (await send(good, dry_run="true")).json()["registered"] == 2
    assert (await send(good)).status_code == 200
    shown = (await desk.admin.get("/v1/devices/A1")).json()
    assert (shown["model"], shown["interval_s"], shown["calibration_due"]) == (
        "TX-9",
        60,
        "2027-06-01T00:00:00Z",
    )
    for body, told in (
        ("model\nTX-9\n", "must begin with a line of column names"),
        ("device_id,colour\nB1,red\n", "colour"),
        ("device_id,model\nB1\n", "devices[0] has 1 cells"),
        ("device_id,interval_s\nB1,60\nB2,often\n", "devices[1].interval_s"),
        ("device_id\nB 1\n", "devices[0].device_id"),
        ("device_id\n", "devices"),
    ):
        assert told in problem(await send(body), 422)["detail"]
    problem(await desk.admin.post(BULK, content=b"{", headers={"Content-Type": "application/json"}), 400)
