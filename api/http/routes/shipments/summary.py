"""The figures of a shipment, and what is foreseen of it."""

from fastapi import APIRouter, Response

from alerts.views import charges, figures, figures_as_of, forecast, taken_away
from alerts.wording import instant_text
from api.http.as_of import AsOf, stands_for
from api.http.naming import ShipmentKey
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.forecast import ForecastOut
from api.http.schemas.summary import DeviceSummaryOut, SummaryOut, TakenAwayOut, seconds
from api.identity.access import visible_shipments
from api.refusals import NotFound
from telemetry import shipment_readings
from telemetry.registry import shipments

router = APIRouter(route_class=Call, tags=["shipments"])


@router.get("/v1/shipments/{shipment_id}/summary")
@action("shipments.read")
async def get_summary(
    shipment_id: ShipmentKey, caller: Caller, services: Here, response: Response, as_of: AsOf = None
) -> SummaryOut:
    """Return the time proof: in range, out of range, unobserved, and what of the budget is used; for each logger."""
    now = services.clock()
    response.headers.update(stands_for(as_of, now))
    async with services.engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        row = await shipments.get(connection, shipment_id, visible_shipments(caller))
        if row is None:
            raise NotFound("shipment", shipment_id)
        if as_of is None:
            devices = await figures.summarize(connection, row, now)
        else:
            devices = await figures_as_of.summarize(connection, shipment_id, as_of)
        taken = await taken_away.taken_away(connection, shipment_id, as_of)
        which = shipment_readings.ReadingFilter(shipment_id=shipment_id, as_of=as_of)
        aside = await shipment_readings.set_aside(connection, which)
    worst = figures.worst(devices)
    shown = [DeviceSummaryOut.of(device, aside.get(device.device_id, ())) for device in devices]
    return SummaryOut(
        shipment_id=shipment_id,
        as_of=as_of or now,
        pending=any(device.pending for device in devices),
        evaluated_through=instant_text(figures.evaluated_through(devices)),
        withdrawn_by_people=TakenAwayOut.of([one for one in taken if one.withdrawn]),
        lessened_by_people=TakenAwayOut.of([one for one in taken if not one.withdrawn]),
        without_logger_s=seconds(figures.without_logger(devices)),
        devices=shown,
        worst=next((one for one in shown if worst and one.device_id == worst.device_id), None),
    )


@router.get("/v1/shipments/{shipment_id}/forecast")
@action("shipments.read")
async def get_forecast(shipment_id: ShipmentKey, caller: Caller, services: Here) -> ForecastOut:
    """Return how long the coolant lasts, what that leaves at arrival, and when a limit of the band is reached.

    It is what the rules `hold_time_short` and `excursion_predicted` reckon with, as of now; whether that is told as an
    alert is another matter. All hours are of the journey, which for a simulated shipment passes faster than the clock.
    """
    now = services.clock()
    async with services.engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        if await shipments.get(connection, shipment_id, visible_shipments(caller)) is None:
            raise NotFound("shipment", shipment_id)
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        foreseen = await forecast.foresee(driver, shipment_id, now)
        doubtful = [] if foreseen is None else await charges.doubtful_charges(connection, shipment_id)
    return ForecastOut.of(shipment_id, now, foreseen, doubtful)
