"""The calls that register a fleet, and what the answers lead to."""

import asyncio
import time

import httpx
import orjson
import pytest

from simulators.fleet.registrar import Registrar, RegistrationRefusedError
from simulators.fleet.registration import (
    charged_at_ms,
    dewar_body,
    place_name,
    plan_places,
    shipment_body,
    site_bodies,
)
from simulators.fleet.registration_calls import registration_calls


class Api:
    """Answers every call with the statuses given (None: not there), then with 201, and keeps what was asked.

    `on` is the shipment that each logger is on.
    """

    def __init__(self, *statuses, says="", on=None):
        self.statuses = list(statuses)
        self.says = says
        self.on = on or {}
        self.calls = []

    def __call__(self, request):
        if request.method == "GET":
            device_id = request.url.path.rsplit("/")[-1]
            return httpx.Response(200, json={"device_id": device_id, "shipment_id": self.on.get(device_id)})
        self.calls.append((request.url.path, orjson.loads(request.content)))
        status = self.statuses.pop(0) if self.statuses else 201
        if status is None:
            raise httpx.ConnectError("refused")
        return httpx.Response(status, text=self.says)


@pytest.fixture
async def registrar_of():
    clients = []

    def registrar(fleet, api):
        clients.append(httpx.AsyncClient(base_url="http://api", transport=httpx.MockTransport(api)))
        return Registrar(fleet, clients[-1], organization="acme")

    yield registrar
    for client in clients:
        await client.aclose()


def test_the_calls_of_a_journey_in_order(fleet_in, journey):
    made = list(registration_calls(fleet_in(), 0, 0, "acme"))
    path = f"/v1/shipments/{journey.shipment_id}"
    assert [step.path for step in made] == [
        "/v1/dewars",
        "/v1/sites",
        "/v1/sites",
        f"/v1/dewars/{journey.dewar_id}/charge",
        "/v1/shipments",
        f"{path}/depart",
        f"{path}/deliver",
    ]
    assert [step.due_ms for step in made] == sorted(step.due_ms for step in made)
    assert [journey.clock.wall_ms(at) for at in (journey.departed_s, journey.delivered_s)] == [
        step.due_ms for step in made[-2:]
    ]


def test_a_shipment_carries_the_plan_that_the_truth_is_held_against(journey):
    body, plan = shipment_body(journey, "acme"), journey.plan()
    assert (body["band"], body["organization"]) == ("cryogenic", "acme")
    for name in ("deadband_c", "on_delay_s", "budget_s", "max_gap_s"):
        assert body[name] == getattr(plan, name)
    assert "lower_c" not in body
    assert body["device_ids"] == [journey.device_id]
    assert body["time_lapse"] == journey.clock.speed
    assert [site["site_id"] for site in site_bodies(journey, "acme")] == [body["origin"], body["destination"]]
    assert site_bodies(journey, "acme")[0]["name"].startswith("Collection site")
    assert body["legs"][0]["from"] == body["origin"]
    assert body["legs"][-1]["to"] == body["destination"]


def test_a_dewar_is_registered_as_its_model_promises(journey):
    body = dewar_body(journey)
    assert (body["hold_time_h"], body["ln2_capacity_kg"]) == (4, 3.3)
    assert body["last_charged_at"] == shipment_body(journey, "acme")["packed_out_at"]


def test_what_is_planned_is_registered_whatever_happens(fleet_in):
    (journey,) = fleet_in("wrong-hub").journeys(0)
    body = shipment_body(journey, "acme")
    assert len(journey.legs) == len(journey.planned) + 2
    assert [(leg["from"], leg["to"]) for leg in body["legs"]] == [
        (place_name(journey, leg.origin), place_name(journey, leg.destination))
        for leg in journey.planned
        if leg.stage in ("pick-up", "flight", "delivery")
    ]
    way = list(dict.fromkeys([body["origin"], *(leg["to"] for leg in body["legs"])]))
    assert len(plan_places(journey)) == len(way)
    # What is no site of its own is an airport, and called by its code.
    assert all(len(name) == 3 for name in way[1:-1])


def test_a_charge_on_the_way_is_told(fleet_in):
    (journey,) = fleet_in("recharge-at-hub").journeys(0)
    full, again = charged_at_ms(journey)
    assert full == journey.on_ms < again
    told = [
        step
        for step in registration_calls(fleet_in("recharge-at-hub"), 0, 0, "acme")
        if step.path.endswith("/charge")
    ]
    assert [step.due_ms for step in told] == [full, again]


def test_dry_ice_has_no_lower_limit(fleet_in):
    (journey,) = fleet_in().journeys(1)
    body = shipment_body(journey, "acme")
    assert (body["band"], body["lower_c"], journey.plan().lower_c) == ("ultra_low", None, None)


async def test_what_is_there_already_is_fine(fleet_in, registrar_of):
    api = Api(409, 409)
    registrar = registrar_of(fleet_in(size=3), api)
    await registrar.register_devices()
    assert sorted(body["device_id"] for _, body in api.calls) == ["SIM-1-0001", "SIM-1-0002", "SIM-1-0003"]
    assert api.calls[0][1]["interval_s"] == 1
    assert registrar.refused == 0


async def test_loggers_that_are_on_shipments_of_this_fleet_or_on_none_are_not_taken(fleet_in, registrar_of):
    fleet = fleet_in(size=3)
    ours = next(fleet.journeys(1)).shipment_id
    await registrar_of(fleet, Api(409, 409, 409, on={"SIM-1-0002": ours})).register_devices()


@pytest.mark.parametrize(
    ("on", "says"),
    [
        ({"SIM-1-0002": "SH-1"}, "SIM-1-0002 is on another shipment: choose another --seed"),
        (
            {"SIM-1-0001": "SH-1", "SIM-1-0002": "SH-1", "SIM-1-0003": "SIM-1-0101-000000-0003"},
            "SIM-1-0001 and 2 more are on other shipments: choose another --seed",
        ),
    ],
)
async def test_loggers_of_somebody_else_are_left_alone(fleet_in, registrar_of, on, says):
    with pytest.raises(RegistrationRefusedError, match=f"^{says}$"):
        await registrar_of(fleet_in(size=3), Api(409, 409, 409, on=on)).register_devices()


async def test_a_key_that_may_not_is_said_so(fleet_in, registrar_of):
    with pytest.raises(RegistrationRefusedError, match="role ops or admin"):
        await registrar_of(fleet_in(size=1), Api(403)).register_devices()


async def test_a_refused_call_is_counted_and_the_rest_goes_on(fleet_in, registrar_of):
    start_ms = int(time.time() * 1000) - 3_600_000
    api = Api(422, 422, says='{"detail": "dewar_id must be shorter."}')
    registrar = registrar_of(fleet_in(size=2, start_ms=start_ms), api)
    await registrar.follow(start_ms, None)
    assert registrar.refused == 2
    assert registrar.first_refusal == "POST /v1/dewars: 422, dewar_id must be shorter."
    assert len(api.calls) == 14


async def test_an_api_that_is_away_is_waited_for(fleet_in, registrar_of, monkeypatch):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    api = Api(None, 503)
    await registrar_of(fleet_in(size=1), api).register_devices()
    assert waits == [1, 2]
    assert len(api.calls) == 3


async def test_nothing_is_done_ahead_of_its_time_or_after_the_end(fleet_in, registrar_of):
    start_ms = int(time.time() * 1000) - 10_000
    api = Api()
    await registrar_of(fleet_in("demo", size=1, start_ms=start_ms), api).follow(start_ms, start_ms + 9_000)
    assert [path.rsplit("/")[-1] for path, _ in api.calls] == [
        "dewars",
        "sites",
        "sites",
        "charge",
        "shipments",
        "depart",
    ]


async def test_a_logger_on_another_shipment_is_no_shipment_that_is_there_already(fleet_in, registrar_of):
    start_ms = int(time.time() * 1000) - 3_600_000
    for says, refused in (("The shipment id S is taken.", 0), ("is on S: deliver or cancel it first.", 1)):
        api = Api(*[409] * 7, says=says)
        registrar = registrar_of(fleet_in(size=1, start_ms=start_ms), api)
        await registrar.follow(start_ms, None)
        assert len(api.calls) == 7
        assert registrar.refused == refused
