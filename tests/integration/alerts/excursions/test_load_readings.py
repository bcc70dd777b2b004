"""Readings come as columns, with the channels that any of them carries and no others."""

import numpy as np

from alerts.excursions.load_readings import ReadingRange, load_readings
from alerts.excursions.trace import Channel, Trace
from alerts.model import to_datetime, to_instant
from tests.integration.alerts.conftest import Desk, minute

CARRIED = {
    Channel.SECOND_C: -188.5,
    Channel.AMBIENT_C: 21.5,
    Channel.BATTERY_PCT: 93.0,
    Channel.TILT_DEG: 2.5,
    Channel.SHOCK_G: 0.4,
    Channel.LID_OPEN: 1.0,
    Channel.LN2_KG: 12.5,
    Channel.LAT: 50.1,
    Channel.LON: 8.6,
    Channel.ACCURACY_M: 10.0,
    Channel.SEQ: 2.0**53 - 1,
    Channel.BOOT: 7.0,
    Channel.RECEIVED_AT: float(to_instant(minute(90)) + 123_457),
    Channel.FLIGHT_MODE_UNTIL: float(to_instant(minute(600)) + 1),
}


async def loaded(desk: Desk, channels: frozenset[Channel] = frozenset(Channel)) -> Trace:
    async with desk.pool.acquire() as connection:
        wanted = ReadingRange(device_id="D1", starting=to_instant(minute(0)))
        nobody = ReadingRange(device_id="D9", starting=to_instant(minute(0)))
        one, other = await load_readings(connection, [wanted, nobody], channels)
    assert (len(other.trace), other.received_at) == (0, None)
    return one.trace


async def carry(desk: Desk, *minutes: float) -> None:
    await desk.pool.execute(
        "UPDATE readings SET ambient_c = 21.5, battery_pct = 93, tilt_deg = 2.5, shock_g = 0.4, lid_open = true, "
        "ln2_kg = 12.5, lat = 50.1, lon = 8.6, accuracy_m = 10, seq = 9007199254740991, boot = 7, received_at = $2, "
        "flight_mode_until = $3, extra = '{\"temperature_2_c\": -188.5}' WHERE measured_at = ANY($1::timestamptz[])",
        [minute(one) for one in minutes],
        to_datetime(int(CARRIED[Channel.RECEIVED_AT])),
        to_datetime(int(CARRIED[Channel.FLIGHT_MODE_UNTIL])),
    )


async def test_every_channel_comes_exactly_where_it_was_carried(desk: Desk) -> None:
    await desk.ship()
    await desk.store([(minute(n), None if n == 2 else -190.0) for n in range(4)])
    await carry(desk, 1, 3)
    trace = await loaded(desk)
    assert trace.channels.keys() == set(Channel)
    assert trace.at.tolist() == [to_instant(minute(n)) for n in range(4)]
    assert np.array_equal(trace.celsius, [-190, -190, np.nan, -190], equal_nan=True)
    for name, value in CARRIED.items():
        found = trace.channels[name].tolist()
        assert [found[1], found[3]] == [value, value], name
        assert name is Channel.RECEIVED_AT or np.isnan([found[0], found[2]]).all(), name


async def test_where_all_readings_carry_them_they_come_all_the_same(desk: Desk) -> None:
    await desk.ship()
    await desk.store([(minute(n), -190.0) for n in range(3)])
    await carry(desk, 0, 1, 2)
    trace = await loaded(desk)
    for name, value in CARRIED.items():
        assert trace.channels[name].tolist() == [value] * 3, name


async def test_what_no_reading_carries_and_what_nobody_wants_is_not_there(desk: Desk) -> None:
    await desk.ship()
    await desk.store([(minute(n), -190.0) for n in range(3)])
    assert (await loaded(desk)).channels.keys() == {Channel.RECEIVED_AT}
    await carry(desk, 1)
    assert (await loaded(desk, frozenset())).channels == {}
    assert (await loaded(desk, frozenset({Channel.SEQ, Channel.LAT}))).channels.keys() == {
        Channel.SEQ,
        Channel.LAT,
    }
    await desk.pool.execute("UPDATE readings SET ambient_c = NULL")
    assert Channel.AMBIENT_C not in (await loaded(desk)).channels
