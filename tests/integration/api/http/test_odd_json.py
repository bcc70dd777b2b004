"""Odd JSON at every call that takes a body: refused by name, never a fault of ours."""

import json
from typing import Any

from api.http.app import ACTIONS
from tests.integration.api.conftest import Desk
from tests.integration.api.http.test_faults import BODIES
from tests.integration.api.identity.test_auth import call_of

ODD_VALUES = [
    None,
    True,
    0,
    -1,
    2**63,
    2**64,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "\0",
    "\ud800",
    "x" * 10_000,
    "🧊",
    "-180",
    "2026-11-21T03:45:00",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-23:59",
    "0000-00-00T00:00:00Z",
    [],
    [None],
    [[[[]]]],
    ["D1"] * 51,
    [{"from": None}],
    {},
    {"a": {"b": 1}},
    {"__proto__": 1},
]
RAW = [
    b"",
    b" ",
    b"null",
    b"{",
    b"[1,",
    b"\xef\xbb\xbf{}",
    b"\xff",
    b'{"a":1}x',
    b"[" * 5000,
    b'{"a":' * 5000,
]

POSTS = [call for call in ACTIONS if call.startswith(("POST", "PATCH"))]
SITE = ["name", "kind", "lat", "lon", "radius_m", "timezone", "stores", "receiving_hours", "contacts", "note"]
FIELDS = {
    "POST /v1/devices": ["device_id", "model", "interval_s", "calibration_due", "organization"],
    "POST /v1/devices/{device_id}/loans": ["organization", "from", "until", "reason"],
    "POST /v1/dewars/{dewar_id}/loans/{loan_id}/end": ["at", "reason"],
    "POST /v1/dewars": ["dewar_id", "model", "hold_time_h", "last_charged_at"],
    "POST /v1/shipments": [
        "shipment_id",
        "organization",
        "band",
        "upper_c",
        "budget_s",
        "device_ids",
        "dewar_id",
        "legs",
        "planned_departure",
        "drill",
        "departed_at",
        "origin",
        "product_id",
        "packed_out_at",
    ],
    "POST /v1/dewars/{dewar_id}/charges/correct": ["charged_at", "reason", "ln2_kg", "withdrawn"],
    "PATCH /v1/dewars/{dewar_id}": ["reason", "model", "hold_time_h", "qualified_until"],
    "POST /v1/sites": ["site_id", "organization", *SITE],
    "PATCH /v1/sites/{site_id}": ["reason", "revision", *SITE],
    "POST /v1/products": ["product_id", "band", "name", "upper_c", "use_within_h", "note"],
    "PATCH /v1/products/{product_id}": ["band", "name", "upper_c", "use_within_h", "note", "revision"],
    "POST /v1/shipments/{shipment_id}/schedule": ["reason", "planned_arrival", "packed_out_at", "legs"],
    "POST /v1/readings": ["readings"],
    "POST /v1/shipments/{shipment_id}/handovers": ["at", "from_party", "to_contact", "lat", "note"],
    "POST /v1/contacts": [
        "contact_id",
        "name",
        "timezone",
        "office_hours",
        "channels",
        "parties",
        "fallback",
    ],
    "PATCH /v1/contacts/{contact_id}": ["reason", "revision", "name", "channels", "active"],
    "POST /v1/policies": ["policy_id", "organization", "origin", "min_severity", "steps", "tell_destination"],
    "PATCH /v1/policies/{policy_id}": ["reason", "revision", "steps", "repeat_s"],
    "POST /v1/policies/dry-run": ["organization", "origin", "kind", "severity", "at"],
    "POST /v1/keys": ["role", "organization", "expires_at", "shipment_ids", "device_ids"],
}


async def answers(desk: Desk, call: str, content: bytes) -> None:
    method, path = call_of(call)
    answer = await desk.admin.request(
        method, path, content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code < 500, (call, content[:100], answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(answer.content) < 20_000


def encoded(body: Any) -> bytes:
    return json.dumps(body).encode()


async def test_odd_bodies(desk: Desk) -> None:
    await desk.device("D1")
    for call in POSTS:
        for content in RAW + [encoded(value) for value in ODD_VALUES]:
            await answers(desk, call, content)


async def test_odd_fields(desk: Desk) -> None:
    await desk.device("D1")
    await desk.ship("S1", "D1")
    for call in (
        "POST /v1/dewars",
        "POST /v1/sites",
        "POST /v1/products",
        "POST /v1/contacts",
        "POST /v1/policies",
    ):
        await answers(desk, call, encoded(BODIES[call]))
    for call, fields in FIELDS.items():
        for field in (*fields, "unknown"):
            for value in ODD_VALUES:
                await answers(desk, call, encoded({**BODIES[call], field: value}))


async def test_odd_readings(desk: Desk) -> None:
    await desk.device("D1")
    (good,) = BODIES["POST /v1/readings"]["readings"]
    for field in (*good, "seq", "boot", "lat", "lid_open", "flight_mode_until", "unknown"):
        odd = [{**good, field: value} for value in ODD_VALUES]
        await answers(desk, "POST /v1/readings", encoded({"readings": odd}))


async def test_odd_moments(desk: Desk) -> None:
    await desk.ship("S1")
    await desk.admin.post("/v1/dewars", json={"dewar_id": "W1"})
    for value in ODD_VALUES:
        for step in ("depart", "deliver", "cancel"):
            await answers(desk, f"POST /v1/shipments/{{shipment_id}}/{step}", encoded({"at": value}))
        for charge in ({"at": value}, {"ln2_kg": value}):
            await answers(desk, "POST /v1/dewars/{dewar_id}/charge", encoded(charge))


async def test_odd_addresses_and_parameters(desk: Desk) -> None:
    odd = (
        "%00",
        "%FF",
        "a%2Fb",
        "..",
        "'",
        '"',
        "%F0%9F%A7%8A",
        "x" * 3000,
        "-1",
        "0",
        "9" * 40,
        "1e3",
        "%0A",
    )
    for call in ACTIONS:
        if not call.startswith("GET") or call == "GET /v1/stream":
            continue
        _, template = call.split(" ")
        for value in odd:
            path = template.split("{")[0] + (value + template.partition("}")[2] if "{" in template else "")
            for query in (
                "",
                f"?limit={value}",
                f"?cursor={value}",
                f"?q={value}",
                f"?from={value}&points=9",
            ):
                answer = await desk.admin.get(path + query)
                assert answer.status_code < 500, (path, query, answer.text)
