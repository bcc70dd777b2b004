"""Keys of every kind, and things of every owner: what the matrix of rights is asked of, and with which bodies."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from starlette.types import ASGIApp

from alerts.attention.loop import decide_due
from telemetry.registry.ids import key_of
from tests.integration.api.conftest import ADMIN_KEY, Desk, problem
from tests.integration.api.http.test_faults import BODIES

OWN, ANOTHER = "acme", "bcell"
"""The organization that keys are bound to, and one whose things they must not reach."""
OWNERS = {"A": OWN, "B": ANOTHER, "N": None}
SHIPMENTS = {"A1": OWN, "A2": OWN, "B1": ANOTHER, "B2": ANOTHER, "N1": None}
"""Whose each is. Keys that are bound to shipments are bound to A1 and B1."""
NAMED = ["A1", "B1"]
STRANGERS = ("no key", "wrong key")
_NOBODYS = UUID(int=0)
_WARM = (-180, -180, -120, -110, -100)


def _bounds(*kinds: str) -> dict[str, dict[str, Any]]:
    every: dict[str, dict[str, Any]] = {
        "": {},
        "@org": {"organization": OWN},
        "@shipments": {"shipment_ids": NAMED},
        "@org+shipments": {"organization": OWN, "shipment_ids": NAMED},
        "@loggers": {"device_ids": ["A2-logger"]},
        "@org+loggers": {"organization": OWN, "device_ids": ["A2-logger"]},
    }
    return {kind: every[kind] for kind in kinds}


def _of_one(bounds: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The same with shipments of one organization only, as the keys of couriers are."""
    return {kind: {**fields, "shipment_ids": NAMED[:1]} for kind, fields in bounds.items()}


KEYS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "admin": _bounds(""),
    "ops": _bounds("", "@org", "@shipments", "@org+shipments"),
    "qa": _bounds("", "@org", "@shipments", "@org+shipments"),
    "courier": _of_one(_bounds("@shipments", "@org+shipments")),
    "partner": _bounds("@org", "@org+shipments"),
    "viewer": _bounds("@org", "@org+shipments"),
    "device": _bounds("@shipments", "@loggers", "@org+shipments", "@org+loggers"),
}
"""Each role with each of the bounds that a key of it can have."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What there is: for each parameter of an address its values, by what they stand for."""

    values: dict[str, dict[str, str]]
    departed_at: str
    tomorrow: str
    names: dict[str, str] = field(default_factory=dict)
    """What each value stands for."""


@dataclass(frozen=True, kw_only=True)
class Asking:
    """One call about something; `target` says about what, and is empty where that is all there is."""

    target: str
    path: str
    value: str = ""
    """The id that is in its address."""
    body: Any = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a call was answered with."""

    status: int
    content_type: str | None
    body: bytes


async def ask(app: ASGIApp, method: str, asking: Asking, key: str | None) -> Answer:
    """Ask once, as a server would hand it on; for thousands of calls a client takes longer than the service."""
    path, _, query = asking.path.partition("?")
    headers = [] if key is None else [(b"authorization", f"Bearer {key}".encode())]
    body = b"" if asking.body is None else json.dumps(asking.body).encode()
    if body:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    sent: list[MutableMapping[str, Any]] = []
    received = asyncio.Event()

    async def receive() -> MutableMapping[str, Any]:
        if received.is_set():
            await asyncio.Event().wait()  # a caller who stays until it has its answer
        received.set()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": headers,
        "server": ("dewarwatch", 80),
        "client": ("127.0.0.1", 123),
    }
    await app(scope, receive, send)
    start, *rest = sent
    content_type = dict(start["headers"]).get(b"content-type")
    return Answer(
        status=start["status"],
        content_type=None if content_type is None else content_type.decode(),
        body=b"".join(message.get("body", b"") for message in rest),
    )


async def make_callers(desk: Desk) -> dict[str, str | None]:
    """Make a key of each kind; returns the keys by what they are called, and None for a caller without one."""
    callers: dict[str, str | None] = {"admin's setting": ADMIN_KEY}
    for role, kinds in KEYS.items():
        for kind, bounds in kinds.items():
            callers[role + kind] = await desk.key(role, **bounds)
    return callers | {"no key": None, "wrong key": "dw_00000000_" + "a" * 43}


async def make_world(desk: Desk) -> World:
    """Make things of every owner: shipments with excursions, alerts and notifications, entries, webhooks, a refusal."""
    start = (datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=0)
    values: dict[str, dict[str, str]] = {}
    for name, owner in OWNERS.items():
        await _make_entries(desk, name, owner)
    for shipment_id, owner in SHIPMENTS.items():
        await _make_shipment(desk, shipment_id, owner, start)
    await desk.evaluate()
    while await decide_due(desk.pool):
        pass
    for noun in ("site", "product", "contact", "policy"):
        values[f"{noun}_id"] = {name: f"{noun}-{name}" for name in OWNERS}
    for noun, suffix in (("shipment", ""), ("dewar", "-dewar"), ("device", "-logger")):
        values[f"{noun}_id"] = {name: name + suffix for name in SHIPMENTS}
    for noun in ("alert", "incident", "excursion"):
        values[f"{noun}_id"] = await _found(desk, noun)
    values["webhook_id"] = await _make_webhooks(desk)
    values["key_id"] = {"a key": (await desk.items("/v1/keys"))[0]["id"]}
    tested = await _make(desk, "/v1/contacts/contact-N/test")
    values["rejected_id"] = {"a refusal": await _make_refusal(desk)}
    names = {value: name for each in values.values() for name, value in each.items()}
    names[tested["notifications"][0]["id"]] = "a test message"
    for name, value in values.items():
        value["unknown"] = str(_NOBODYS) if _is_uuid(value) else "999999" if name == "rejected_id" else "X9"
    values["event_id"] = {"": "1-1"}
    values["loan_id"] = values["correction_id"] = {"": str(_NOBODYS)}
    return World(
        values=values,
        departed_at=start.isoformat(),
        tomorrow=(start + timedelta(days=1)).isoformat(),
        names=names,
    )


def _is_uuid(values: dict[str, str]) -> bool:
    return all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) for value in values.values())


async def _make(desk: Desk, path: str, **body: Any) -> dict[str, Any]:
    made = await desk.admin.post(path, json=body)
    assert made.status_code in {200, 201, 202}, made.text
    return dict(made.json())


async def _make_entries(desk: Desk, name: str, owner: str | None) -> None:
    site, contact = BODIES["POST /v1/sites"], BODIES["POST /v1/contacts"]
    policy = {"group_wait_s": 0, "steps": [{"after_s": 0, "to": [f"contact:contact-{name}"]}]}
    await _make(desk, "/v1/sites", **site | {"site_id": f"site-{name}", "organization": owner})
    await _make(desk, "/v1/products", product_id=f"product-{name}", band="room", organization=owner)
    await _make(desk, "/v1/contacts", **contact | {"contact_id": f"contact-{name}", "organization": owner})
    await _make(desk, "/v1/policies", policy_id=f"policy-{name}", organization=owner, **policy)


async def _make_shipment(desk: Desk, shipment_id: str, owner: str | None, start: datetime) -> None:
    dewar_id = f"{shipment_id}-dewar"
    await _make(desk, "/v1/dewars", dewar_id=dewar_id)
    await desk.ship(shipment_id, organization=owner, dewar_id=dewar_id, departed_at=start.isoformat())
    await desk.store(
        f"{shipment_id}-logger",
        *((start + timedelta(minutes=n + 1), celsius) for n, celsius in enumerate(_WARM)),
    )


async def _found(desk: Desk, noun: str) -> dict[str, str]:
    """Of each shipment the first of those."""
    found: dict[str, str] = {}
    for item in await desk.items(f"/v1/{noun}s"):
        found[item["shipment_id"]] = item["id"]
    assert set(found) == set(SHIPMENTS), noun
    return {name: found[name] for name in SHIPMENTS}


async def _make_webhooks(desk: Desk) -> dict[str, str]:
    """Webhooks as keys of each kind make them: of an owner, or of an owner and only of certain shipments."""
    made: dict[str, str] = {}
    webhooks: dict[str, dict[str, Any]] = {
        "A": {"organization": OWN},
        "A of A1 B1": {"organization": OWN, "shipment_ids": NAMED},
        "A of A2": {"organization": OWN, "shipment_ids": ["A2"]},
        "B": {"organization": ANOTHER},
        "N": {},
        "N of A1 B1": {"shipment_ids": NAMED},
    }
    for name, bounds in webhooks.items():
        is_nobodys = "organization" not in bounds
        maker = desk.admin if is_nobodys else await desk.caller("ops", **bounds)
        answer = await maker.post("/v1/webhooks", json=BODIES["POST /v1/webhooks"])
        assert answer.status_code == 201, answer.text
        made[name] = answer.json()["id"]
        if is_nobodys:  # those of keys without an organization are of before such keys made none
            seen = [key_of(id_, SHIPMENTS[id_]) for id_ in NAMED] if "shipment_ids" in bounds else None
            await desk.pool.execute(
                "UPDATE webhooks SET sees_shipment_ids = $2 WHERE id = $1", UUID(made[name]), seen
            )
    return made


async def _make_refusal(desk: Desk) -> str:
    problem(await desk.admin.post("/v1/readings", content=b"{"), 400)
    (refused,) = await desk.items("/v1/rejected")
    return str(refused["id"])


def askings(call: str, world: World) -> Iterator[Asking]:
    """Ask a call about all that it can be asked about."""
    _, template = call.split(" ")
    bodies = _bodies(call, world)
    names = re.findall(r"{(\w+)}", template)
    for target, value in world.values[names[0]].items() if names else [("", "")]:
        rest = {name: world.values[name][""] for name in names[1:]}
        path = template.format_map(rest | dict.fromkeys(names[:1], value))
        for about, body in bodies:
            if call == "GET /v1/stream":
                yield Asking(target=about, path=path + body)
            else:
                yield Asking(target=target + about, path=path, value=value, body=body)


def _bodies(call: str, world: World) -> list[tuple[str, Any]]:
    """Each body that a call is asked with, after what it stands for."""
    special = {
        "GET /v1/stream": [
            ("for all", ""),
            ("for A", f"?organization={OWN}"),
            ("for B", f"?organization={ANOTHER}"),
        ],
        "POST /v1/shipments": _new_shipments(),
        "POST /v1/shipments/{shipment_id}/depart": [("", {"at": world.departed_at})],
        "POST /v1/alerts/{alert_id}/snooze": [("", {"until": world.tomorrow, "reason": "it has to be so"})],
        "POST /v1/incidents/{incident_id}/snooze": [
            ("", {"until": world.tomorrow, "reason": "it has to be so"})
        ],
        "POST /v1/backtests": [
            (name, {**BODIES["POST /v1/backtests"], "shipment_ids": [id_]})
            for name, id_ in world.values["shipment_id"].items()
        ],
        "POST /v1/readings": [
            (name, {"readings": [{**one, "device_id": id_}]})
            for name, id_ in world.values["device_id"].items()
            for one in BODIES["POST /v1/readings"]["readings"]
        ],
    }
    names_an_owner = call in {
        *(f"POST /v1/{noun}" for noun in ("sites", "products", "contacts", "policies", "webhooks")),
        "POST /v1/policies/dry-run",
    }
    usual = _for_owners(BODIES[call]) if names_an_owner else [("", BODIES.get(call))]
    return special.get(call, usual)


def _for_owners(body: dict[str, Any]) -> list[tuple[str, Any]]:
    """A body for each owner, and for nobody's."""
    return [
        (f"for {name}", body if owner is None else {**body, "organization": owner})
        for name, owner in OWNERS.items()
    ]


def _new_shipments() -> list[tuple[str, Any]]:
    """A shipment for each owner, and one of each owner's product and of one that there is not."""
    ids = {"shipment_id": "new", "device_ids": ["spare"]}
    products = [(f"with product-{name}", {**ids, "product_id": f"product-{name}"}) for name in (*OWNERS, "X")]
    return _for_owners({**ids, "band": "room"}) + products
