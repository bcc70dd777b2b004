"""What callers are told of everything that is not done: status, words, fields and headers, on record call by call.

REWRITE=1 in the environment writes the file anew, to be read before it is believed.
"""

import os
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import httpx

from api.identity.device_credentials import BrokerRefusedError, BrokerUnmanagedError, BrokerUnreachableError
from telemetry.ingest.retry import StorageUnavailableError
from tests.integration.api.conftest import Desk, MakeDesk, MakeServices

FOLDER = Path(__file__).parents[3] / "golden" / "refusals"
HEADERS = ("www-authenticate", "retry-after", "allow", "location")
FUTURE, PAST, BEFORE = "2099-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"
NOBODYS = UUID(int=0)
ORG = "acme"
WHY = "it has to be so"
WEBHOOK = {"url": "https://93.184.216.34/hook"}


class Refused(NamedTuple):
    """A call that is not done, or not wholly."""

    method: str
    path: str
    body: Any = None
    caller: str = "admin"


def post(path: str, caller: str = "admin", **body: Any) -> Refused:
    return Refused("POST", path, body, caller)


def patch(path: str, caller: str = "admin", **body: Any) -> Refused:
    return Refused("PATCH", path, body, caller)


def delete(path: str) -> Refused:
    return Refused("DELETE", path)


def get(path: str, caller: str = "admin") -> Refused:
    return Refused("GET", path, None, caller)


def shipment(caller: str = "admin", **fields: Any) -> Refused:
    whole = {"shipment_id": "new", "band": "cryogenic", "device_ids": ["free"]}
    body = {name: value for name, value in (whole | fields).items() if value is not None}
    return Refused("POST", "/v1/shipments", body, caller)


def contact(caller: str = "admin", **fields: Any) -> Refused:
    ways = [{"channel": "email", "address": "desk@clinic.example"}]
    whole = {"contact_id": "new", "name": "New", "timezone": "UTC", "channels": ways}
    return Refused("POST", "/v1/contacts", whole | fields, caller)


def policy(**fields: Any) -> Refused:
    whole = {"policy_id": "new", "steps": [{"after_s": 0, "to": ["holder"]}]}
    return Refused("POST", "/v1/policies", whole | fields)


def trial(caller: str = "admin", **fields: Any) -> Refused:
    return Refused("POST", "/v1/policies/dry-run", {"kind": "excursion", "at": PAST} | fields, caller)


def site(caller: str = "admin", **fields: Any) -> Refused:
    whole = {"site_id": "new", "name": "New", "lat": 0.0, "lon": 0.0, "timezone": "UTC"}
    return Refused("POST", "/v1/sites", whole | fields, caller)


def handover(shipment_id: str = "under-way", caller: str = "admin", **fields: Any) -> Refused:
    whole = {"at": PAST, "from_party": "Depot", "to_party": "Courier"}
    return Refused("POST", f"/v1/shipments/{shipment_id}/handovers", whole | fields, caller)


CALLS = (
    get("/v1/shipments", "nobody"),
    get("/v1/shipments", "wrong key"),
    get("/v1/keys", "viewer"),
    get("/v1/rejected", "ops of acme"),
    post("/v1/keys", role="ops", expires_at=PAST),
    post("/v1/keys", role="partner"),
    post("/v1/keys", role="admin", organization=ORG),
    post("/v1/keys", role="courier"),
    post("/v1/keys", role="device"),
    post("/v1/keys", role="ops", device_ids=["free"]),
    get(f"/v1/keys/{NOBODYS}"),
    delete(f"/v1/keys/{NOBODYS}"),
    post("/v1/devices", device_id="free"),
    get("/v1/devices/none"),
    post("/v1/devices/none/rotate-credentials"),
    post("/v1/devices/none/loans", organization="acme"),
    post("/v1/devices/free/loans", organization="acme"),
    post("/v1/devices/free/loans", organization="acme", until=PAST),
    post(f"/v1/devices/free/loans/{NOBODYS}/end", reason="x"),
    get("/v1/devices/free/loans", "ops of acme"),
    post("/v1/devices/none/clock-corrections", offset_s=60.0, measured_from=PAST, reason="it has to be so"),
    post("/v1/devices/free/clock-corrections", offset_s=60.0, measured_from=PAST, reason="it has to be so"),
    post("/v1/devices/free/clock-corrections", offset_s=0.0, measured_from=PAST, reason="it has to be so"),
    post("/v1/devices/free/clock-corrections", measured_from=PAST, reason="it has to be so"),
    post(f"/v1/devices/free/clock-corrections/{NOBODYS}/reverse", reason="it has to be so"),
    post("/v1/dewars", dewar_id="D1"),
    post("/v1/dewars/none/loans", organization="acme"),
    post(f"/v1/dewars/D1/loans/{NOBODYS}/end", reason="x"),
    get("/v1/dewars/none"),
    patch("/v1/dewars/none", model="X"),
    patch("/v1/dewars/D1", model="X", revision=7),
    post("/v1/dewars/none/charge"),
    post("/v1/dewars/none/charge", "ops of acme"),
    post("/v1/dewars/D1/charge", at=FUTURE),
    post("/v1/dewars/D1/charge", at=BEFORE, ln2_kg=3400.0),
    post("/v1/dewars/D1/charge", at=PAST, ln2_kg=1.0),
    post("/v1/dewars/D1/charges/correct", charged_at=BEFORE, reason="it has to be so", ln2_kg=1.0),
    post("/v1/dewars/none/charges/correct", charged_at=BEFORE, reason="it has to be so", ln2_kg=1.0),
    post("/v1/dewars/D1/charges/correct", charged_at=PAST, reason="it has to be so", ln2_kg=3400.0),
    post("/v1/dewars/D1/charges/correct", charged_at=PAST, reason="it has to be so", withdrawn=True),
    post("/v1/dewars/D1/charge", at=PAST),
    site(site_id="everybodys"),
    site("ops of acme", organization="other"),
    site("ops of a shipment"),
    get("/v1/sites/none"),
    get("/v1/sites/others", "ops of acme"),
    patch("/v1/sites/none", name="X"),
    patch("/v1/sites/everybodys", "ops of acme", name="X"),
    patch("/v1/sites/everybodys", name="X", revision=7),
    get("/v1/sites/none/revisions"),
    post("/v1/products", product_id="P1", band="cryogenic"),
    post("/v1/products", product_id="P2", band="custom"),
    post("/v1/products", product_id="P2", band="cryogenic", rules={"picnic": None}),
    post("/v1/products", product_id="P2", band="cryogenic", rules={"signal_lost": {"picnic": 1.0}}),
    patch("/v1/products/P1", lower_c=100.0),
    patch("/v1/products/P1", rules={"picnic": None}),
    patch("/v1/products/P1", name="X", revision=7),
    patch("/v1/products/none", name="X"),
    contact(contact_id="desk"),
    contact("ops of acme", organization="other"),
    contact(channels=[{"channel": "chat", "address": "http://127.0.0.1/room"}]),
    contact(fallback="new"),
    contact(fallback="none"),
    get("/v1/contacts/none"),
    patch("/v1/contacts/none", name="X"),
    patch("/v1/contacts/desk", fallback="desk"),
    patch("/v1/contacts/desk", fallback="none"),
    patch("/v1/contacts/desk", name="X", revision=7),
    patch("/v1/contacts/desk", channels=[{"channel": "chat", "address": "http://127.0.0.1/room"}]),
    post("/v1/contacts/none/test"),
    post("/v1/contacts/silent/test"),
    *[post("/v1/contacts/desk/test")] * 6,
    policy(policy_id="night"),
    policy(steps=[{"after_s": 0, "to": ["holder"]}, {"after_s": 1, "to": ["contact:none"]}]),
    get("/v1/policies/none"),
    patch("/v1/policies/none", reason="it has to be so", note="X"),
    patch("/v1/policies/night", reason="it has to be so", note="X", revision=7),
    patch("/v1/policies/night", reason="it has to be so", steps=[{"after_s": 0, "to": ["contact:none"]}]),
    patch("/v1/policies/night", "ops of acme", reason="it has to be so", note="X"),
    trial(at="2020-01-01T00:00:00Z"),
    trial("ops of acme", organization="other"),
    trial("ops of a shipment"),
    shipment(departed_at=FUTURE),
    shipment(packed_out_at=FUTURE),
    shipment(band=None),
    shipment(upper_c=-300.0),
    shipment(band="custom"),
    shipment(rules={"picnic": None}),
    shipment(dewar_id="none"),
    shipment(product_id="none"),
    shipment(product_id="P-other", organization=ORG),
    shipment("ops of acme", organization="other"),
    shipment(planned_departure=PAST, planned_arrival=BEFORE),
    shipment(legs=[{"from": "A", "to": "B", "planned_departure": PAST, "planned_arrival": BEFORE}]),
    shipment(
        legs=[
            {"from": "A", "to": "B", "planned_arrival": PAST},
            {"from": "B", "to": "C", "planned_departure": BEFORE},
        ]
    ),
    shipment(shipment_id="under-way"),
    shipment(device_ids=["free", "nobodys", "nones"]),
    shipment(device_ids=["under-way-logger"]),
    shipment("ops of acme", device_ids=["under-way-logger"]),
    shipment(device_ids=["delivered-logger"], departed_at="2026-01-01T12:00:00Z"),
    get("/v1/shipments/none"),
    get("/v1/shipments/none/revisions"),
    get("/v1/shipments/under-way", "ops of acme"),
    *(post(f"/v1/shipments/none/{step}", reason=WHY) for step in ("depart", "deliver", "cancel")),
    *(
        post(f"/v1/shipments/under-way/{step}", at=FUTURE, reason=WHY)
        for step in ("depart", "deliver", "cancel")
    ),
    post("/v1/shipments/under-way/cancel"),
    post("/v1/shipments/under-way/deliver", reason="x"),
    post("/v1/shipments/under-way/deliver", "courier", at=PAST),
    post("/v1/shipments/under-way/plan", reason="xxxxxxxx", budget_s=1.0),
    post("/v1/keys", role="courier", shipment_ids=["none"]),
    post("/v1/keys", role="courier", shipment_ids=["under-way", "acmes"]),
    post("/v1/keys", role="courier", shipment_ids=["under-way"], organization=ORG),
    post("/v1/shipments/under-way/depart", at=PAST),
    post("/v1/shipments/under-way/deliver", at="2025-12-31T00:00:00Z"),
    post("/v1/shipments/under-way/cancel", at="2025-12-31T00:00:00Z", reason=WHY),
    post("/v1/shipments/planned/deliver", at=PAST),
    post("/v1/shipments/delivered/depart", at=PAST),
    post("/v1/shipments/delivered/cancel", at=PAST, reason=WHY),
    post("/v1/shipments/cancelled/depart", at=PAST),
    post("/v1/shipments/cancelled/deliver", at=PAST),
    post("/v1/shipments/none/plan", reason="it has to be so", budget_s=1.0),
    post("/v1/shipments/cancelled/plan", reason="it has to be so", budget_s=1.0),
    post("/v1/shipments/under-way/plan", reason="it has to be so", budget_s=-1.0),
    post("/v1/shipments/under-way/plan", reason="it has to be so", rules={"picnic": None}),
    post("/v1/shipments/under-way/plan", reason="it has to be so", budget_s=1.0, plan_revision=7),
    post("/v1/shipments/none/schedule", reason="it has to be so", destination="B"),
    post("/v1/shipments/delivered/schedule", reason="it has to be so", destination="B"),
    post("/v1/shipments/under-way/schedule", reason="it has to be so", destination="B", schedule_revision=7),
    post("/v1/shipments/under-way/schedule", reason="it has to be so", packed_out_at=FUTURE),
    post(
        "/v1/shipments/under-way/schedule",
        reason="it has to be so",
        planned_departure=PAST,
        planned_arrival=BEFORE,
    ),
    post("/v1/shipments/next/schedule", reason="it has to be so", packed_out_at="2026-01-01T12:00:00Z"),
    handover("none"),
    handover("cancelled"),
    handover(at=FUTURE),
    handover(to_contact="none"),
    handover(place="Ramp", note="Rain"),
    handover(at="1990-01-01T00:00:00Z"),
    handover("delivered", at="2026-03-01T00:00:00Z"),
    handover(at="2026-01-03T00:00:00Z", from_party="Nobody"),
    handover(at="2026-01-01T12:00:00Z", to_party="Nobody"),
    handover(at="2026-01-03T00:00:00Z", from_party="Nobody", override_reason="x"),
    handover("planned", "courier", at=None),
    handover("under-way", "courier", at=None, from_party="Courier", override_reason=WHY),
    get("/v1/shipments/none/handovers"),
    post("/v1/webhooks", url="http://127.0.0.1/hook"),
    post("/v1/webhooks", url="ftp://partner.example"),
    post("/v1/webhooks", "ops of acme", **WEBHOOK, organization="other"),
    post("/v1/webhooks", **WEBHOOK, organization="many"),
    get("/v1/webhooks/{webhook}/deliveries/none"),
    patch("/v1/webhooks/{webhook}", url="http://127.0.0.1/hook"),
    post("/v1/webhooks/{webhook}/replay", event_id="none"),
    post("/v1/webhooks/{paused}/test"),
    get(f"/v1/webhooks/{NOBODYS}"),
    get(f"/v1/webhooks/{NOBODYS}/deliveries"),
    get(f"/v1/webhooks/{NOBODYS}/deliveries/none"),
    patch(f"/v1/webhooks/{NOBODYS}", description="X"),
    patch(f"/v1/webhooks/{NOBODYS}", url="http://127.0.0.1/hook"),
    delete(f"/v1/webhooks/{NOBODYS}"),
    *(post(f"/v1/webhooks/{NOBODYS}/{act}") for act in ("rotate-secret", "test", "pause", "resume")),
    post(f"/v1/webhooks/{NOBODYS}/replay", failed=True),
    Refused("POST", "/v1/readings", b"picnic"),
    Refused("POST", "/v1/readings", []),
    Refused("POST", "/v1/readings", {"readings": [{}], "picnic": 1}),
    Refused("POST", "/v1/readings", {"readings": []}),
    Refused("POST", "/v1/readings", {"readings": [{}] * 1001}),
    Refused("POST", "/v1/readings", {"readings": [{"note": "x" * 70_000}]}),
    Refused("POST", "/v1/readings", {"readings": [{"device_id": "free"}]}, "logger"),
    get("/v1/alerts?as_of=2099-01-01T00:00:00Z"),
    get(f"/v1/alerts/{NOBODYS}"),
    post(f"/v1/alerts/{NOBODYS}/acknowledge"),
    post(f"/v1/alerts/{NOBODYS}/comment", text="t"),
    post(f"/v1/incidents/{NOBODYS}/acknowledge"),
    get("/v1/devices?cursor=picnic"),
    post("/v1/backtests", plan={"budget_s": -1.0}),
    post("/v1/backtests", plan={"budget_s": 1.0}, shipment_ids=["none"]),
    Refused("DELETE", "/v1/shipments"),
    get("/v2"),
)


async def test_what_is_refused_is_told_in_the_words_on_record(desk: Desk) -> None:
    webhooks = await _make_world(desk)
    clients = await _callers(desk)
    told = [await _told(clients, call, webhooks) for call in CALLS]
    _hold_against("calls", told)


class _Broker:
    """Refuses every password, each time for the next reason."""

    def __init__(self) -> None:
        self._errors: list[Exception] = [
            BrokerUnreachableError("no route"),
            BrokerRefusedError("the broker's user X is not a logger's"),
            BrokerUnmanagedError("the broker has no dynamic security"),
        ]

    broker: str | None = None

    async def grant(self, device_id: str, password: str) -> None:
        error = self._errors.pop(0)
        self._errors.append(error)
        raise error

    async def grant_all(self, passwords: Mapping[str, str]) -> None:
        for device_id, password in passwords.items():
            await self.grant(device_id, password)

    async def revoke(self, device_id: str) -> None:
        await self.grant(device_id, "")


class _Away:
    """An ingest whose database is away."""

    async def commit_messages(self, *_: Any, **__: Any) -> None:
        raise StorageUnavailableError

    async def store_http_readings(self, *_: Any, **__: Any) -> None:
        raise StorageUnavailableError


async def test_what_a_broker_or_a_database_refuses_is_told_likewise(
    make_desk: MakeDesk, make_services: MakeServices
) -> None:
    desk = await make_desk(make_services(device_credentials=_Broker(), ingest=_Away()))
    clients = {"admin": desk.admin}
    calls = [
        *[post("/v1/devices", device_id="L1")] * 3,
        *[post("/v1/devices/L1/rotate-credentials")] * 3,
        Refused("POST", "/v1/readings", {"readings": [{"device_id": "L1"}]}),
        Refused("POST", "/v1/readings", b"picnic"),
    ]
    _hold_against("others", [await _told(clients, call, {}) for call in calls])


async def _make_world(desk: Desk) -> dict[str, str]:
    """Make what calls are refused about; returns the ids of webhooks."""
    made = [
        Refused("POST", "/v1/devices/free/loans", {"organization": "other", "from": PAST}),
        post("/v1/dewars", dewar_id="D1", ln2_capacity_kg=3.5),
        post("/v1/dewars/D1/charge", at=PAST, ln2_kg=3.4),
        site(site_id="everybodys"),
        site(site_id="others", organization="other"),
        post("/v1/products", product_id="P1", band="cryogenic"),
        post("/v1/products", product_id="P-other", band="cryogenic", organization="other"),
        contact(contact_id="desk"),
        contact(contact_id="silent"),
        policy(policy_id="night"),
    ]
    await desk.device("free")
    for call in made:
        assert (await desk.admin.post(call.path, json=call.body)).is_success, call
    for name, steps in {
        "planned": {},
        "under-way": {"depart": BEFORE},
        "delivered": {"depart": BEFORE, "deliver": PAST},
        "cancelled": {"cancel": PAST},
    }.items():
        await desk.ship(name)
        for step, at in steps.items():
            done = await desk.admin.post(f"/v1/shipments/{name}/{step}", json={"at": at, "reason": WHY})
            assert done.is_success, done.text
    await desk.ship("next", "delivered-logger")
    await desk.ship("acmes", organization=ORG)
    assert (await desk.admin.post(handover().path, json=handover().body)).is_success
    await desk.pool.execute("UPDATE contacts SET channels = '[]' WHERE contact_id = 'silent'")
    return await _make_webhooks(desk)


async def _make_webhooks(desk: Desk) -> dict[str, str]:
    ids = {}
    for name in ("webhook", "paused", "many"):
        made = await desk.admin.post("/v1/webhooks", json=WEBHOOK | {"organization": name})
        assert made.is_success, made.text
        ids[name] = made.json()["id"]
    assert (await desk.admin.post(f"/v1/webhooks/{ids['paused']}/pause")).is_success
    await desk.pool.execute(
        "INSERT INTO webhooks (id, organization, url, secret, created_by) "
        "SELECT gen_random_uuid(), 'many', 'https://x.example', '', 'k' FROM generate_series(1, 99)"
    )
    return ids


async def _callers(desk: Desk) -> dict[str, httpx.AsyncClient]:
    return {
        "admin": desk.admin,
        "nobody": await desk.client(),
        "wrong key": await desk.client("dw_00000000_" + "a" * 43),
        "viewer": await desk.caller("viewer", organization=ORG),
        "ops of acme": await desk.caller("ops", organization=ORG),
        "ops of a shipment": await desk.caller("ops", shipment_ids=["planned"]),
        "courier": await desk.caller("courier", shipment_ids=["planned", "under-way"]),
        "logger": await desk.caller("device", device_ids=["under-way-logger"]),
    }


async def _told(clients: dict[str, httpx.AsyncClient], call: Refused, ids: dict[str, str]) -> str:
    """Make a call and write down how it was answered."""
    body = {"content": call.body} if isinstance(call.body, bytes) else {"json": call.body}
    path = call.path.format_map(ids) if "{" in call.path else call.path
    answer = await clients[call.caller].request(call.method, path, **body)
    title = f"{call.method} {call.path} {_short(repr(call.body))}, {call.caller}"
    headers = [f"{name}: {answer.headers[name]}" for name in HEADERS if name in answer.headers]
    if answer.headers.get("content-type") != "application/problem+json":
        return "\n  ".join([title, str(answer.status_code), *headers])
    told = answer.json()
    assert told.pop("type") == "about:blank"
    assert told.pop("request_id") == answer.headers["x-request-id"]
    assert told["status"] == answer.status_code
    errors = [_short(f"{one['field']} in {one['in']}: {one['detail']}") for one in told.pop("errors", ())]
    assert told.pop("title") == HTTPStatus(answer.status_code).phrase
    line = f"{told.pop('status')} {_short(told.pop('detail'))}"
    assert not told
    return "\n  ".join([title, line, *errors, *headers])


def _short(text: str) -> str:
    """Cut what is long by its nature: a body that is too large, a list of all rules."""
    return text if len(text) < 200 else f"{text[:80]} ..."


def _hold_against(name: str, told: list[str]) -> None:
    """Compare answers with those on record."""
    file = FOLDER / f"{name}.txt"
    text = "\n".join(told) + "\n"
    if os.environ.get("REWRITE"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
