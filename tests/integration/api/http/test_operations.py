"""What operators and readers of the documents see."""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.http.app import _NOUNS, ACTIONS
from api.http.routing import Call, action, actions_of
from api.http.services import Probe
from api.identity.permissions import PERMISSIONS, PermissionsError
from api.pages import docs, static_files
from tests.integration.api.conftest import Desk, MakeDesk, MakeServices

_BODILESS = ("acknowledge", "rotate-credentials", "rotate-secret", "test", "pause", "resume")


async def test_alive_until_a_task_is_dead(make_desk: MakeDesk, make_services: MakeServices) -> None:
    tasks = {"ingest": True, "evaluate": True}
    desk = await make_desk(make_services(alive=lambda: tasks))
    stranger = await desk.client()
    assert (await stranger.get("/livez")).json() == {"alive": True, "tasks": tasks}
    tasks["evaluate"] = False
    answer = await stranger.get("/livez")
    assert answer.status_code == 503
    assert answer.json() == {"alive": False, "tasks": tasks}


async def test_ready_when_all_parts_are(make_desk: MakeDesk, make_services: MakeServices) -> None:
    async def connected() -> Probe:
        return Probe(ok=True, detail={"connected": True})

    async def broken() -> Probe:
        raise ConnectionError("mqtt://user:password@host")

    desk = await make_desk(make_services(probes={"broker": connected}))
    answer = await desk.admin.get("/readyz")
    assert answer.status_code == 200
    parts = answer.json()["parts"]
    assert parts["broker"] == {"ok": True, "connected": True}
    assert parts["database"]["ok"] is True
    assert parts["database"]["level"] in {"plain", "apache", "community"}
    assert parts["database"]["schema"]

    desk = await make_desk(make_services(probes={"broker": broken}))
    answer = await desk.admin.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"]["broker"] == {"ok": False, "error": "ConnectionError"}
    assert "password" not in answer.text


async def test_not_ready_for_an_older_schema(desk: Desk) -> None:
    await desk.pool.execute("UPDATE alembic_version SET version_num = '0000'")
    answer = await desk.admin.get("/readyz")
    assert answer.status_code == 503
    assert "dewarwatch migrate" in answer.json()["parts"]["database"]["error"]


async def test_ready_on_the_next_version_s_schema_until_it_takes_over(desk: Desk) -> None:
    await desk.pool.execute("UPDATE alembic_version SET version_num = '9999'")
    answer = await desk.admin.get("/readyz")
    assert answer.status_code == 200
    assert "later version" in answer.json()["parts"]["database"]["note"]


async def test_metrics_name_routes_and_not_paths(desk: Desk) -> None:
    await desk.ship("S1")
    await desk.admin.get("/v1/shipments/S1")
    await desk.admin.get("/no/such/path")
    answer = await (await desk.client()).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert (
        'dewarwatch_http_request_seconds_count{method="GET",route="/v1/shipments/{shipment_id}",status="200"}'
        in answer.text
    )
    assert "/no/such/path" not in answer.text
    assert 'route="unmatched",status="404"' in answer.text


async def document(desk: Desk) -> dict[str, Any]:
    return dict((await (await desk.client()).get("/openapi.json")).json())


def operations(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in made["paths"].items()
        for method, operation in methods.items()
    }


async def test_every_call_is_documented_with_who_may_and_what_can_go_wrong(desk: Desk) -> None:
    found = operations(await document(desk))
    assert {call for call in found if " /v1/" in call} == set(ACTIONS)
    for call, operation in found.items():
        assert operation["tags"], call
        assert operation["summary"], call
        assert len(operation["description"]) > 30, call
        if call not in ACTIONS:
            continue
        assert operation["security"] == [{"key": []}]
        assert "Roles: admin" in operation["description"]
        for status in ("401", "403", "422", "503"):
            assert operation["responses"][status] == {"$ref": f"#/components/responses/Problem{status}"}, call
        if call.startswith("POST") and not call.endswith(_BODILESS):
            assert operation["requestBody"]["content"]["application/json"], call


async def test_the_document_refers_to_nothing_that_is_not_there(desk: Desk) -> None:
    made = await document(desk)
    assert made["openapi"].startswith("3.1")
    assert made["info"]["version"]
    whole = (await desk.admin.get("/openapi.json")).text
    for kind in ("schemas", "responses"):
        assert set(re.findall(f'"#/components/{kind}/([^"]+)"', whole)) == set(made["components"][kind])
    assert {tag["name"] for tag in made["tags"]} >= {
        tag for operation in operations(made).values() for tag in operation["tags"]
    }


def forgotten() -> None:
    """Show what nobody thought of."""


def test_a_call_without_an_action_does_not_start() -> None:
    router = APIRouter(route_class=Call)
    with pytest.raises(PermissionsError, match=r"GET /v1/forgotten has no action: write @action"):
        router.get("/v1/forgotten")(forgotten)


def test_an_action_above_its_route_is_none() -> None:
    router = APIRouter(route_class=Call)
    with pytest.raises(PermissionsError, match=r"GET /v1/forgotten has no action"):
        action("alerts.read")(router.get("/v1/forgotten")(forgotten))


def test_a_call_whose_action_no_row_names_does_not_start() -> None:
    def unheard_of() -> None:
        """Do what nobody may."""

    router = APIRouter(route_class=Call)
    with pytest.raises(PermissionsError, match=r"is the action alerts\.forget, which no row .* names"):
        router.get("/v1/forgotten")(action("alerts.forget")(unheard_of))


def test_a_call_that_would_need_no_key_does_not_start() -> None:
    router = APIRouter()
    router.get("/v1/forgotten")(forgotten)
    with pytest.raises(
        PermissionsError, match=r"/v1/forgotten needs no key: give its router route_class=Call"
    ):
        actions_of([router])


def test_an_action_that_no_route_has_does_not_start() -> None:
    with pytest.raises(PermissionsError, match=r"actions that no route has: alerts\.acknowledge, alerts"):
        actions_of([])


def test_no_call_takes_a_thread() -> None:
    """The framework runs what is no coroutine in one: it waits for the processor there while others are busy."""

    def functions(dependant: Dependant) -> Iterator[Callable[..., Any]]:
        if dependant.call is not None:
            yield dependant.call
        for one in dependant.dependencies:
            yield from functions(one)

    routers = [noun.router for noun in (*_NOUNS, docs, static_files)]
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    found = {one for route in routes for one in functions(route.dependant)}
    assert len(found) > 50
    assert not [one for one in found if not inspect.iscoroutinefunction(one)]


def test_every_route_of_the_service_is_checked() -> None:
    assert set(ACTIONS.values()) == PERMISSIONS.actions
