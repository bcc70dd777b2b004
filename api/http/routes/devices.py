"""Loggers: registered, seen, and given what they need to reach the broker."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.problems import Problem, not_found, unavailable
from api.http.routing import Call, Here, action
from api.http.schemas.devices import CredentialsRotated, DeviceCreated, DeviceIn, DeviceOut, MqttAccess
from api.http.schemas.fields import DeviceId, ListOf, Words
from api.http.services import Services
from api.identity.device_credentials import BrokerUnmanagedError, BrokerUnreachableError, CredentialsError
from telemetry.registry import devices

router = APIRouter(route_class=Call, tags=["devices"])


@router.post("/v1/devices", status_code=201)
@action("devices.register")
async def register_device(body: DeviceIn, services: Here, response: Response) -> DeviceCreated:
    """Register a logger. Its MQTT password is in this answer and nowhere else."""
    async with services.engine.begin() as connection:
        if not await devices.add(connection, body.model_dump()):
            raise Problem(
                409,
                f"There is a logger {body.device_id} already; "
                f"POST /v1/devices/{body.device_id}/rotate-credentials gives it a new password.",
            )
        # Within the transaction, so that where the broker cannot be reached, no logger without a password stays.
        mqtt = await _grant(services, body.device_id)
        row = await devices.get(connection, body.device_id)
    assert row is not None
    response.headers["Location"] = f"/v1/devices/{body.device_id}"
    shown = DeviceOut.of(row, services.clock())
    return DeviceCreated(**dict(shown), mqtt=mqtt)


@router.get("/v1/devices")
@action("devices.read")
async def list_devices(
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    q: Annotated[Words | None, Query(description="Part of an id or a model.")] = None,
) -> ListOf[DeviceOut]:
    """List the loggers by id, with when they were last seen and how they are."""
    after = read_cursor(cursor, devices.ORDER)
    async with services.engine.connect() as connection:
        page = await devices.page(connection, q=q, after=after, limit=limit)
    now = services.clock()
    return answer(page, lambda row: DeviceOut.of(row, now))


@router.get("/v1/devices/{device_id}")
@action("devices.read")
async def get_device(device_id: DeviceId, services: Here) -> DeviceOut:
    """Show one logger."""
    async with services.engine.connect() as connection:
        row = await devices.get(connection, device_id)
    if row is None:
        raise not_found("logger", device_id)
    return DeviceOut.of(row, services.clock())


@router.post("/v1/devices/{device_id}/rotate-credentials")
@action("devices.rotate_credentials")
async def rotate_credentials(device_id: DeviceId, services: Here) -> CredentialsRotated:
    """Give a logger a new MQTT password; the old one stops to work at once."""
    async with services.engine.connect() as connection:
        known = await devices.is_registered(connection, device_id)
    if not known:
        raise not_found("logger", device_id)
    return CredentialsRotated(device_id=device_id, mqtt=await _grant(services, device_id))


async def _grant(services: Services, device_id: str) -> MqttAccess:
    """Make a password and tell the broker, where the broker's users are ours to manage."""
    unmanaged = MqttAccess(
        url=services.mqtt_public_url,
        username=device_id,
        password=None,
        provisioned=False,
        note="The users of this broker are not managed here: make one with this name at the broker itself.",
    )
    if services.device_credentials is None:
        return unmanaged
    password = secrets.token_urlsafe(24)
    try:
        await services.device_credentials.grant(device_id, password)
    except BrokerUnmanagedError:
        return unmanaged
    except BrokerUnreachableError:
        raise unavailable("The broker, which must learn the logger's password, cannot be reached.") from None
    except CredentialsError as error:
        raise Problem(409, f"The broker refused the logger's credentials: {error}.") from None
    return MqttAccess(url=services.mqtt_public_url, username=device_id, password=password, provisioned=True)
