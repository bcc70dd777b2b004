"""`dewarwatch reevaluate`: what it says, what it does, and how it is stopped."""

import asyncio
import json
import os
import pty

import pytest

from tests.acceptance.command import eventually, one_line
from tests.conftest import as_service
from tests.integration.alerts.conftest import DEPARTED, Desk, minute

TRACE = [(minute(n), -140.0 if 10 <= n < 20 else -190.0) for n in range(40)]
QUIET = {"LOG_LEVEL": "error"}


async def shipped(desk: Desk, *shipment_ids: str) -> None:
    for shipment_id in shipment_ids:
        await desk.ship(shipment_id, f"{shipment_id}-logger")
        await desk.store(TRACE, shipment_id, f"{shipment_id}-logger")
    await desk.evaluate()


async def run(commands, database_url, *arguments, **settings):
    call = ("reevaluate", *arguments)
    return await asyncio.to_thread(
        commands.run, *call, DATABASE_URL=as_service(database_url), **QUIET, **settings
    )


WRONG_CALLS = {
    "neither": ([], "choose what to judge again: --shipment ID, once for each, or --all"),
    "both": (["--all", "--shipment", "S1"], "choose what to judge again: --shipment ID"),
}


@pytest.mark.parametrize(("call", "says"), WRONG_CALLS.values(), ids=WRONG_CALLS)
async def test_a_call_must_say_what_is_meant(commands, database_url, call, says):
    status, out, err = await run(commands, database_url, *call)
    assert (status, out) == (2, "")
    assert one_line(err).startswith(says)


async def test_an_unknown_shipment_is_named_and_nothing_is_done(commands, database_url, desk):
    await shipped(desk, "S1")
    await desk.pool.execute("UPDATE excursions SET peak_c = -100")
    status, out, err = await run(commands, database_url, "--shipment", "S1", "--shipment", "S7")
    assert (status, out) == (1, "")
    assert one_line(err) == "there is no shipment S7: nothing was done"
    assert (await desk.excursions())[0]["peak_c"] == -100


async def test_a_look_and_then_the_mending(commands, database_url, desk):
    await shipped(desk, "S1", "S2")
    await desk.pool.execute("UPDATE excursions SET peak_c = -100 WHERE shipment_id = 'S1'")
    await desk.pool.execute("DELETE FROM evaluation_states WHERE shipment_id = 'S2'")
    change = "S1  S1-logger  amended  reevaluated  start 2026-11-01 00:10:00Z, peak −100 °C → −140 °C"
    state = "S2  S2-logger  state  rebuilt  readings 40, through 2026-11-01 00:39:00Z"
    status, out, err = await run(commands, database_url, "--all", "--dry-run")
    assert (status, err) == (0, "")
    *lines, totals = out.splitlines()
    assert sorted(lines) == [change, state]
    assert totals.startswith("2 shipments judged, 80 readings folded in ")
    assert totals.endswith(" would be changed: 1 excursion, 0 alerts, 1 folded state; 0 failures")
    assert (await desk.excursions())[0]["peak_c"] == -100

    status, out, err = await run(commands, database_url, "--shipment", "S1", "--shipment", "S2")
    assert (status, err) == (0, "")
    assert sorted(out.splitlines()[:-1]) == [change, state]
    assert [(e["peak_c"], e["reason"]) for e in await desk.excursions()] == [(-140, "reevaluated")]

    status, out, err = await run(commands, database_url, "--all")
    assert (status, err) == (0, "")
    [totals] = out.splitlines()
    assert totals.endswith("; changed: 0 excursions, 0 alerts, 0 folded states; 0 failures")


async def test_for_machines_it_prints_one_object_a_line(commands, database_url, desk):
    await shipped(desk, "S1")
    await desk.pool.execute("UPDATE excursions SET peak_c = -100, severity = 'critical'")
    status, out, err = await run(commands, database_url, "--shipment", "S1", "--json")
    assert (status, err) == (0, "")
    change, totals = map(json.loads, out.splitlines())
    assert (change["type"], change["shipment_id"], change["reason"]) == ("excursion", "S1", "reevaluated")
    assert (change["before"]["peak_c"], change["after"]["peak_c"]) == (-100, -140)
    assert (change["before"]["severity"], change["after"]["severity"]) == ("critical", "major")
    assert totals.pop("seconds") > 0
    assert totals == {
        "type": "totals",
        "dry_run": False,
        "shipments": 1,
        "readings": 40,
        "changes": 1,
        "alerts": 0,
        "states": 0,
        "failures": 0,
    }


async def test_what_cannot_be_judged_is_told_and_the_rest_is_done(commands, database_url, desk):
    await shipped(desk, "S1", "S2")
    await desk.pool.execute("UPDATE shipments SET plan = plan - 'band' WHERE shipment_id = 'S1'")
    await desk.pool.execute("UPDATE excursions SET peak_c = -100")
    status, out, err = await run(commands, database_url, "--all")
    assert status == 1
    assert "S1  -  failed  -  KeyError: 'band'" in out
    assert out.endswith("1 failure\n")
    assert one_line(err) == "1 shipment could not be judged"
    assert (await desk.excursions("S2"))[0]["peak_c"] == -140


async def test_a_signal_stops_it_after_the_set_under_way(commands, database_url, desk):
    numbers = "generate_series(1, 120) AS n"
    await desk.pool.execute(
        f"INSERT INTO shipments (shipment_id, band, plan, departed_at) SELECT 'T' || 1000 + n, 'room', '{{}}', $1 FROM {numbers}",
        DEPARTED,
    )
    await desk.pool.execute(f"INSERT INTO evaluations (shipment_id) SELECT 'T' || 1000 + n FROM {numbers}")
    await shipped(desk, "S1")
    await desk.pool.execute(
        "UPDATE shipments SET plan = (SELECT plan FROM shipments WHERE shipment_id = 'S1')"
    )
    await desk.pool.execute("UPDATE excursions SET peak_c = -100")
    async with desk.pool.acquire() as holder:
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("SELECT FROM evaluations WHERE shipment_id = 'T1060' FOR UPDATE")
        command = commands.start("reevaluate", "--all", DATABASE_URL=as_service(database_url), **QUIET)
        waits = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'"
        )
        async with asyncio.timeout(20):
            while not await desk.pool.fetchval(waits, "dewarwatch-reevaluate"):
                await asyncio.sleep(0.02)
        os.kill(command.pid, 15)
        await transaction.rollback()
    assert await asyncio.to_thread(command.ended) == 1
    assert one_line(command.err) == "stopped after 100 of 121 shipments; what was done stays"
    assert (
        command.out.splitlines()[0]
        == "S1  S1-logger  amended  reevaluated  start 2026-11-01 00:10:00Z, peak −100 °C → −140 °C"
    )
    assert command.out.splitlines()[-1].startswith("100 shipments judged, 40 readings folded in ")
    assert (await desk.excursions())[0]["peak_c"] == -140


async def test_at_a_terminal_it_shows_a_table(commands, database_url, desk):
    await shipped(desk, "S1")
    await desk.pool.execute("UPDATE excursions SET peak_c = -100")
    ours, its = pty.openpty()
    os.set_blocking(ours, False)
    command = commands.start(
        "reevaluate", "--all", "--dry-run", terminal=its, DATABASE_URL=as_service(database_url), **QUIET
    )
    os.close(its)
    shown = bytearray()

    def ended() -> bool:
        try:
            shown.extend(os.read(ours, 65536))
        except BlockingIOError:
            return False
        except OSError:  # it has closed the terminal
            return True
        return False

    try:
        await asyncio.to_thread(eventually, ended, 20, lambda: shown.decode(errors="replace"))
    finally:
        os.close(ours)
    assert command.ended() == 0
    text = shown.decode()
    assert "What would change" in text
    assert "reevaluated" in text
    assert text.rstrip().endswith("0 failures")
    assert "\x1b[?25h" in text  # the bar has gone, and the cursor is back
