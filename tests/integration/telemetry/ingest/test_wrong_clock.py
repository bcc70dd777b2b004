"""A wrong clock of ours refuses nothing, and what it refused before can be taken in."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from telemetry.database.clocks import Clocks, Comparison
from telemetry.ingest import pipeline
from telemetry.ingest.pipeline import Ingest
from telemetry.ingest.retry import ClocksDifferError
from telemetry.ingest.senders import SenderRights
from telemetry.ingest.take_in import WrongClock, take_in
from tests.integration.telemetry.conftest import RECEIVED_AT, message

BEHIND = timedelta(minutes=10)


class Wall:
    """The service's clock, which can be set; a steady one runs beside it."""

    def __init__(self):
        self.set_s = 0.0
        self._loop = asyncio.get_running_loop()

    def time(self):
        return datetime.now(UTC).timestamp() + self.set_s

    def now(self):
        return datetime.fromtimestamp(self.time(), UTC)


def live(at, device_id="LOG-1", **fields):
    return {"measured_at": at.isoformat(), "temperature_c": -180.0, **fields}


def test_clocks_are_sure_only_when_compared_alike_and_not_set_since():
    wall = [1000.0]
    clocks = Clocks(lambda: wall[0], lambda: 10.0)
    assert not clocks.are_sure()
    clocks.note(Comparison(ahead_s=0.9, unsure_s=0.0), 990.0)
    assert clocks.are_sure()
    wall[0] -= 300
    assert not clocks.are_sure()
    wall[0] += 300
    assert clocks.are_sure()
    clocks.note(Comparison(ahead_s=-1.5, unsure_s=0.1), 990.0)
    assert not clocks.are_sure()
    assert clocks.wrong_for_s() == 0.0
    clocks.note(Comparison(ahead_s=3.0, unsure_s=2.5), 990.0)  # too slow an answer to tell
    assert clocks.are_sure()
    assert clocks.wrong_for_s() is None


def test_nothing_is_removed_for_its_age_before_the_clocks_have_agreed_for_an_hour():
    wall, steady = [1000.0], [10.0]
    clocks = Clocks(lambda: wall[0], lambda: steady[0])
    agrees = Comparison(ahead_s=0.2, unsure_s=0.1)

    def passes(hours, comparison=agrees, set_s=0.0):
        wall[0] += 3600 * hours + set_s
        steady[0] += 3600 * hours
        clocks.note(comparison, wall[0] - steady[0])
        return clocks.may_remove()

    assert not clocks.may_remove()
    assert [passes(hours) for hours in (0, 0.9, 0.1, 5)] == [False, False, True, True]
    wall[0] += 90 * 86400
    assert not clocks.may_remove()  # between two comparisons
    assert [passes(hours) for hours in (0, 0, 0.9, 0.1)] == [
        False,
        False,
        False,
        True,
    ]  # the database's was set as well
    assert not passes(0, Comparison(ahead_s=-90 * 86400.0, unsure_s=0.1))
    assert [passes(0), passes(1)] == [False, True]


async def test_what_others_send_of_a_time_ahead_waits_while_our_clock_may_be_wrong(store):
    """It is not let in, as by then somebody else may have the logger; nor is it refused, as it may be of now."""
    wall = Wall()
    clocks = Clocks(wall.time)
    ingest = Ingest(store.pool, clocks=clocks)
    await clocks.compare(store.pool)

    async def send(at):
        async def rights(*_):
            return SenderRights(now=wall.now())

        raws = [{"device_id": "LOG-1", **live(at)}]
        return await ingest.store_http_readings(
            raws, payload=b"{}", caller="key:dw_1", received_at=wall.now(), rights=rights
        )

    wall.set_s = -BEHIND.total_seconds()
    with pytest.raises(ClocksDifferError):
        await send(datetime.now(UTC))
    assert await store.pool.fetchval("SELECT count(*) FROM refusals") == 0
    wall.set_s = 0.0
    (refusal,) = (await send(datetime.now(UTC) + timedelta(minutes=1))).refusals
    assert refusal.reason == "clock_ahead"


@pytest.mark.parametrize("many", [False, True], ids=["insert", "copy"])
async def test_nothing_is_refused_for_its_time_while_our_clock_is_wrong(store, monkeypatch, many):
    monkeypatch.setattr(pipeline, "COPY_MIN_READINGS", 20 if many else 1000)
    wall = Wall()
    clocks = Clocks(wall.time)
    ingest = Ingest(store.pool, clocks=clocks)
    await clocks.compare(store.pool)

    async def refused_of(seconds):
        true_now = datetime.now(UTC) + timedelta(seconds=seconds)
        sent = [live(true_now + timedelta(milliseconds=n)) for n in range(30)]
        outcome = await ingest.store([message(sent, received_at=wall.now())])
        return len(outcome.messages[0].refusals)

    assert await refused_of(0) == 0
    assert await refused_of(900) == 30  # a logger's clock that is wrong
    wall.set_s = -600
    assert await refused_of(1) == 0  # also before the next comparison
    await clocks.compare(store.pool)
    assert clocks.wrong_for_s() is not None
    assert await refused_of(2) == 0
    wall.set_s = 0
    await clocks.compare(store.pool)
    assert clocks.wrong_for_s() is None
    assert await refused_of(900) == 30


async def test_by_http_as_well(store):
    wall = Wall()
    wall.set_s = -600
    clocks = Clocks(wall.time)
    await clocks.compare(store.pool)
    raws = [{"device_id": "LOG-1", **live(datetime.now(UTC))}]
    for ingest, refused in ((Ingest(store.pool), 1), (Ingest(store.pool, clocks=clocks), 0)):
        outcome = await ingest.store_http_readings(
            raws, payload=b"{}", caller="a key", received_at=wall.now()
        )
        assert len(outcome.refusals) == refused


async def test_a_message_that_came_while_the_clock_was_wrong_is_judged_so_after_it_was_set(store):
    wall = Wall()
    clocks = Clocks(wall.time)
    ingest = Ingest(store.pool, clocks=clocks)
    await clocks.compare(store.pool)
    came = message(live(datetime.now(UTC)), received_at=wall.now() - BEHIND)._replace(clock_is_sure=False)
    outcome = await ingest.store([came])
    assert outcome.messages[0].accepted == 1


async def test_what_was_refused_for_a_wrong_clock_is_taken_in(store):
    wrong = WrongClock(
        since=RECEIVED_AT - timedelta(hours=1), until=RECEIVED_AT + timedelta(hours=1), behind=BEHIND
    )
    ahead, far = RECEIVED_AT + BEHIND, RECEIVED_AT + timedelta(hours=2)
    single, wrong_logger = message(live(ahead, seq=1)), message(live(far, seq=2), "LOG-2")
    array = message([live(ahead + timedelta(seconds=n + 1), seq=10 + n, note="x" * 400) for n in range(30)])
    later = message(live(ahead + timedelta(days=2)), received_at=RECEIVED_AT + timedelta(days=1))
    await store.store(single, wrong_logger, array, later)
    assert await store.readings("seq") == []
    dry = await take_in(store.pool, wrong, dry_run=True)
    assert (dry.found, dry.excused, dry.stored) == (32, 31, 0)
    assert await store.readings("seq") == []
    taken = await take_in(store.pool, wrong, dry_run=False)
    assert (taken.stored, taken.already_there, taken.not_whole) == (31, 0, 0)
    assert {seq for (seq,) in await store.readings("seq")} == {1, *range(10, 40)}
    refused = await store.refused("r.id")
    again = await take_in(store.pool, wrong, dry_run=False)
    assert (again.stored, again.already_there) == (0, 31)
    assert await store.refused("r.id") == refused
