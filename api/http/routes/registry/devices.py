"""Loggers: registered, seen, and given what they need to reach the broker."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.http.naming import LentTo
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import DeviceId, ListOf, Words
from api.http.schemas.registry.device_lists import (
    DEVICES_BODY,
    DeviceRegistered,
    DevicesRegistered,
    read_list,
)
from api.http.schemas.registry.devices import (
    CalibrationIn,
    CalibrationOut,
    CredentialsRotated,
    DeviceChangeIn,
    DeviceCreated,
    DeviceIn,
    DeviceOut,
    DeviceRevision,
    MqttAccess,
    ReasonIn,
    RetireIn,
)
from api.identity.access import holder
from api.refusals import NotFound
from api.transactions import begin
from api.use_cases.registry import devices as use_cases
from api.use_cases.registry.registering import DEVICE
from telemetry.registry import devices
from telemetry.registry.devices import DEVICES

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


@router.post("/v1/devices/bulk", openapi_extra=DEVICES_BODY)
@action("devices.register")
async def register_devices(
    request: Request,
    caller: Caller,
    services: Here,
    dry_run: Annotated[bool, Query(description="Only say what is wrong; nothing is registered.")] = False,  # noqa: FBT002 - a parameter of the address
) -> DevicesRegistered:
    """Register up to 10,000 loggers, as JSON or as CSV (`Content-Type: text/csv`): all of them, or none.

    What is wrong is told of each, at most a hundred at once. Their MQTT passwords are in this answer and nowhere else.
    """
    given = read_list(await request.body(), request.headers.get("content-type", ""))
    async with begin(services.engine) as connection:
        passwords = await use_cases.register_all(
            connection,
            services.device_credentials,
            [one.value() for one in given.devices],
            actor=caller.actor,
            now=services.clock(),
            dry_run=dry_run,
        )
    url = services.mqtt_public_url
    return DevicesRegistered(
        dry_run=dry_run,
        registered=len(given.devices),
        devices=[
            DeviceRegistered(device_id=device_id, mqtt=MqttAccess.of(url, device_id, password))
            for device_id, password in passwords.items()
        ],
    )


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


@router.patch("/v1/devices/{device_id}")
@action("devices.change")
async def change_device(
    device_id: DeviceId, body: DeviceChangeIn, caller: Caller, services: Here
) -> DeviceOut:
    """Change what is given of a logger. What it was before stays on record; its shipment is judged by it from now on."""
    now = services.clock()
    async with begin(services.engine) as connection:
        row = await use_cases.change(
            connection,
            caller,
            device_id,
            body.changes(),
            seen=body.revision,
            actor=caller.actor,
            now=now,
            reason=body.reason,
        )
    return DeviceOut.of(row, now)


@router.get("/v1/devices/{device_id}/revisions")
@action("devices.read_revisions")
async def list_device_revisions(
    device_id: DeviceId, caller: Caller, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[DeviceRevision]:
    """List every description that a logger ever had, oldest first, with who made it and when."""
    after = read_cursor(cursor, DEVICES.history_order)
    async with services.engine.connect() as connection:
        await DEVICE.get(connection, caller, device_id)
        page = await DEVICES.history(connection, device_id, after=after, limit=limit)
    return answer(page, DeviceRevision.of)


@router.post("/v1/devices/{device_id}/calibrations", status_code=201)
@action("devices.calibrate")
async def calibrate_device(
    device_id: DeviceId, body: CalibrationIn, caller: Caller, services: Here, response: Response
) -> CalibrationOut:
    """Record a calibration certificate; 201 where that is new. The newest says when the logger is due again."""
    async with begin(services.engine) as connection:
        row, is_new = await use_cases.calibrate(
            connection, caller, device_id, body.value(), actor=caller.actor, now=services.clock()
        )
    response.status_code = 201 if is_new else 200
    return CalibrationOut(**row)


@router.get("/v1/devices/{device_id}/calibrations")
@action("devices.read")
async def list_calibrations(
    device_id: DeviceId, caller: Caller, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[CalibrationOut]:
    """List the calibration certificates of a logger, the latest calibration first."""
    after = read_cursor(cursor, devices.CALIBRATION_ORDER)
    async with services.engine.connect() as connection:
        held = await devices.get(connection, device_id, holder=holder(caller), now=services.clock())
        if held is None:
            raise NotFound("logger", device_id)
        page = await devices.calibration_page(connection, device_id, after=after, limit=limit)
    return answer(page, lambda row: CalibrationOut(**row))


@router.post("/v1/devices/{device_id}/retire")
@action("devices.retire")
async def retire_device(device_id: DeviceId, body: RetireIn, caller: Caller, services: Here) -> DeviceOut:
    """Take a logger out of use, or undo that, with the reason: the broker shuts it out, and it goes on no shipment.

    Refused while it is on a shipment under way. What it has measured stays.
    """
    now = services.clock()
    async with begin(services.engine) as connection:
        row = await use_cases.retire(
            connection,
            services.device_credentials,
            caller,
            device_id,
            undo=body.undo,
            actor=caller.actor,
            now=now,
            reason=body.reason,
        )
    return DeviceOut.of(row, now)


@router.post("/v1/devices/{device_id}/revoke-credentials", status_code=204)
@action("devices.revoke_credentials")
async def revoke_credentials(device_id: DeviceId, body: ReasonIn, caller: Caller, services: Here) -> None:
    """Shut a logger out of the broker at once, with the reason, as after it was lost. A new password lets it in again."""
    async with begin(services.engine) as connection:
        await use_cases.revoke_credentials(
            connection,
            services.device_credentials,
            caller,
            device_id,
            actor=caller.actor,
            reason=body.reason,
        )


@router.post("/v1/devices/{device_id}/rotate-credentials")
@action("devices.rotate_credentials")
async def rotate_credentials(device_id: DeviceId, caller: Caller, services: Here) -> CredentialsRotated:
    """Return a logger a new MQTT password; the old one stops to work at once."""
    password = await use_cases.rotate_credentials(
        services.engine, services.device_credentials, device_id, actor=caller.actor
    )
    mqtt = MqttAccess.of(services.mqtt_public_url, device_id, password)
    return CredentialsRotated(device_id=device_id, mqtt=mqtt)
