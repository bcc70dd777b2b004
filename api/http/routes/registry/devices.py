"""Loggers: registered, seen, and given what they need to reach the broker."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.http.naming import LentTo
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import DeviceId, ListOf, Words
from api.http.schemas.registry.devices import (
    CredentialsRotated,
    DeviceCreated,
    DeviceIn,
    DeviceOut,
    MqttAccess,
)
from api.identity.access import holder
from api.refusals import NotFound
from api.transactions import begin
from api.use_cases.registry import devices as use_cases
from telemetry.registry import devices

router = APIRouter(route_class=Call, tags=["devices"])


@router.post("/v1/devices", status_code=201)
@action("devices.register")
async def register_device(
    body: DeviceIn, caller: Caller, services: Here, response: Response
) -> DeviceCreated:
    """Register a logger. Its MQTT password is in this answer and nowhere else."""
    async with begin(services.engine) as connection:
        row, password = await use_cases.register(
            connection,
            services.device_credentials,
            body.value(),
            actor=caller.actor,
            now=services.clock(),
        )
    response.headers["Location"] = f"/v1/devices/{body.device_id}"
    shown = DeviceOut.of(row, services.clock())
    mqtt = MqttAccess.of(services.mqtt_public_url, body.device_id, password)
    return DeviceCreated(**dict(shown), mqtt=mqtt)


@router.get("/v1/devices")
@action("devices.read")
async def list_devices(
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    q: Annotated[Words | None, Query(description="Part of an id or a model.")] = None,
    organization: LentTo = None,
) -> ListOf[DeviceOut]:
    """List the loggers by id, with when they were last seen and how they are.

    Keys of an organization see those that it has now, by a loan or on its shipments, and of them only what was
    measured while it had them.
    """
    after = read_cursor(cursor, devices.ORDER)
    now = services.clock()
    async with services.engine.connect() as connection:
        page = await devices.page(
            connection,
            holder=holder(caller),
            now=now,
            q=q,
            organization=organization,
            after=after,
            limit=limit,
        )
    return answer(page, lambda row: DeviceOut.of(row, now))


@router.get("/v1/devices/{device_id}")
@action("devices.read")
async def get_device(device_id: DeviceId, caller: Caller, services: Here) -> DeviceOut:
    """Show one logger."""
    now = services.clock()
    async with services.engine.connect() as connection:
        row = await devices.get(connection, device_id, holder=holder(caller), now=now)
    if row is None:
        raise NotFound("logger", device_id)
    return DeviceOut.of(row, now)


@router.post("/v1/devices/{device_id}/rotate-credentials")
@action("devices.rotate_credentials")
async def rotate_credentials(device_id: DeviceId, caller: Caller, services: Here) -> CredentialsRotated:
    """Return a logger a new MQTT password; the old one stops to work at once."""
    password = await use_cases.rotate_credentials(
        services.engine, services.device_credentials, device_id, actor=caller.actor
    )
    mqtt = MqttAccess.of(services.mqtt_public_url, device_id, password)
    return CredentialsRotated(device_id=device_id, mqtt=mqtt)
