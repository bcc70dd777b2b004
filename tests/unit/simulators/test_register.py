"""The calls that register a fleet, and how they take the answers."""

import asyncio
import time

import httpx
import orjson
import pytest

from simulators.register import Registrar, RegistrationRefusedError, steps
from simulators.registration import dewar, shipment, sites


class Api:
    """Answers every call with the statuses given (None: not there), then with 201, and keeps what was asked."""

    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.calls = []

    def __call__(self, request):
        self.calls.append((request.url.path, orjson.loads(request.content)))
        status = self.statuses.pop(0) if self.statuses else 201
        if status is None:
            raise httpx.ConnectError("refused")
        return httpx.Response(status)


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
    made = list(steps(fleet_in(), 0, 0, "acme"))
    path = f"/v1/shipments/{journey.shipment_id}"
    assert [step.path for step in made] == [
        "/v1/dewars",
        "/v1/shipments",
        f"{path}/depart",
        f"{path}/deliver",
    ]
    assert [step.due_ms for step in made] == sorted(step.due_ms for step in made)
    assert [journey.clock.wall_ms(at) for at in (journey.departed_s, journey.delivered_s)] == [
        step.due_ms for step in made[2:]
    ]


def test_a_shipment_carries_the_plan_that_the_truth_is_held_against(journey):
    body, plan = shipment(journey, "acme"), journey.plan()
    assert (body["band"], body["organization"]) == ("cryogenic", "acme")
    for name in ("deadband_c", "on_delay_s", "budget_s", "max_gap_s"):
        assert body[name] == getattr(plan, name)
    assert "lower_c" not in body
    assert body["device_ids"] == [journey.device_id]
    assert body["origin"].startswith("Collection site")
    assert body["legs"][0]["from"] == body["origin"]
    assert body["legs"][-1]["to"] == body["destination"]


def test_a_dewar_is_registered_as_its_model_promises(journey):
    body = dewar(journey)
    assert (body["hold_time_h"], body["ln2_capacity_kg"]) == (4, 3.3)
    assert body["last_charged_at"] == shipment(journey, "acme")["packed_out_at"]


def test_what_is_planned_is_registered_whatever_happens(fleet_in):
    (journey,) = fleet_in("wrong-hub").journeys(0)
    body = shipment(journey, "acme")
    assert len(journey.legs) == len(journey.planned) + 2
    assert [(leg["from"], leg["to"]) for leg in body["legs"]] == [
        (leg.origin.name, leg.destination.name)
        for leg in journey.planned
        if leg.stage in ("pick-up", "flight", "delivery")
    ]
    assert [site["name"] for site in sites(journey)] == list(
        dict.fromkeys([body["origin"], *(leg["to"] for leg in body["legs"])])
    )


def test_dry_ice_has_no_lower_limit(fleet_in):
    (journey,) = fleet_in().journeys(1)
    body = shipment(journey, "acme")
    assert (body["band"], body["lower_c"], journey.plan().lower_c) == ("ultra_low", None, None)


async def test_what_is_there_already_is_fine(fleet_in, registrar_of):
    api = Api(409, 409)
    registrar = registrar_of(fleet_in(size=3), api)
    await registrar.register_devices()
    assert sorted(body["device_id"] for _, body in api.calls) == ["SIM-1-0001", "SIM-1-0002", "SIM-1-0003"]
    assert api.calls[0][1]["interval_s"] == 1
    assert registrar.refused == 0


async def test_a_key_that_may_not_is_said_so(fleet_in, registrar_of):
    with pytest.raises(RegistrationRefusedError, match="role ops or admin"):
        await registrar_of(fleet_in(size=1), Api(403)).register_devices()


async def test_a_refused_call_is_counted_and_the_rest_goes_on(fleet_in, registrar_of):
    start_ms = int(time.time() * 1000) - 3_600_000
    api = Api(422)
    registrar = registrar_of(fleet_in(size=2, start_ms=start_ms), api)
    await registrar.follow(start_ms, None)
    assert registrar.refused == 1
    assert len(api.calls) == 8


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
    assert [path.rsplit("/")[-1] for path, _ in api.calls] == ["dewars", "shipments", "depart"]
