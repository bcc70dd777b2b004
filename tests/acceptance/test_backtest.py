"""`dewarwatch backtest`: what it prints, and which calls it refuses."""

import asyncio
import json

import pytest

from tests.acceptance.command import one_line
from tests.conftest import as_service
from tests.integration.alerts.conftest import Desk, minute

QUIET = {"LOG_LEVEL": "error"}


async def run(commands, database_url, plan, *arguments):
    file = commands.folder / "plan.json"
    file.write_text(plan if isinstance(plan, str) else json.dumps(plan))
    call = ("backtest", "--plan", file, *arguments)
    return await asyncio.to_thread(commands.run, *call, DATABASE_URL=as_service(database_url), **QUIET)


async def shipped(desk: Desk, shipment_id: str, *, warm: range, **plan: object) -> None:
    await desk.ship(shipment_id, f"{shipment_id}-logger", **plan)
    trace = [(minute(n), -145.0 if n in warm else -190.0) for n in range(60)]
    await desk.store(trace, shipment_id, f"{shipment_id}-logger")
    await desk.deliver(minute(60), shipment_id)


async def test_what_a_longer_on_delay_would_have_done(commands, database_url, desk):
    await shipped(desk, "S1", warm=range(10, 40), budget_s=1200)
    await shipped(desk, "S2", warm=range(10, 15))
    await shipped(desk, "S3", warm=range(0), band="ultra_low", lower_c=None)
    status, out, err = await run(commands, database_url, {"on_delay_s": 600})
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "3 shipments compared over 180 readings; 1 would differ",
        "Totals:",
        "  -  today  proposed",
        "  alarms  3  2",
        "  excursions  2  1",
        "  of them critical  0  0",
        "  exhausted budgets  1  1",
        "  time in excursions  35 min  30 min",
        "  longest excursion  30 min on S1  30 min on S1",
        "Changes:",
        "  -  gained  lost  split  merged  changed  same",
        "  excursions  0  1  0  0  0  1",
        "  exhausted budgets  0  0  0  0  0  1",
        "Alarms by week:",
        "  week  today  proposed",
        "  2026-W44  3  2",
        "Alarms by shipment:",
        "  shipment  today  proposed",
        "  S2  1  0",
        "  S1  2  2",
        "  S3  0  0",
        "Excursions that differ:",
        "  shipment  logger  effect  side  today  proposed",
        "  S2  S2-logger  lost  high  2026-11-01 00:10Z to 2026-11-01 00:15Z, −145 °C, major  none",
    ]


async def test_certain_shipments_for_machines(commands, database_url, desk):
    for number in range(3):
        await shipped(desk, f"S{number}", warm=range(10, 40))
    plan = {"band": "cryogenic", "upper_c": -140}
    status, out, err = await run(
        commands,
        database_url,
        plan,
        "--shipments",
        "S0,S2",
        "--shipments",
        "S1",
        "--until",
        "2026-11-02T00:00:00Z",
        "--json",
    )
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (found["shipments"], found["excursions"]["lost"], found["proposed"]["alarms"]) == (3, 3, 0)
    assert found["as_of"] == "2026-11-02T00:00:00Z"
    status, out, err = await run(
        commands, database_url, plan, "--shipments", "S1", "--since", "2026-11-02T00:00:00Z"
    )
    assert (status, err) == (0, "")
    assert out.startswith("0 shipments compared")


async def test_only_the_first_differences_are_listed(commands, database_url, desk):
    await desk.ship()
    await desk.store([(minute(n), -145.0 if n % 2 else -190.0) for n in range(60)])
    status, out, err = await run(commands, database_url, {"upper_c": -140})
    assert (status, err) == (0, "")
    assert out.count("  S1  D1  lost  high") == 20
    assert out.endswith("\nand 10 more excursions\n")


async def test_what_does_not_fit_a_shipment_is_told(commands, database_url, desk):
    await shipped(desk, "S1", warm=range(10, 40))
    await shipped(desk, "S2", warm=range(0), band="room")
    status, out, err = await run(commands, database_url, {"upper_c": -155})
    assert (status, err) == (0, "")
    assert out.startswith("1 shipment compared over 60 readings; 0 would differ\n")
    assert "not compared: S2: upper_c leaves no band: lower_c 15 must be below upper_c -155\n" in out


WRONG = {
    "no JSON": ("upper_c: -155", "plan.json: is not JSON: "),
    "no object": ([1], "plan.json: must be a JSON object of plan fields"),
    "nothing": ({}, "plan.json: must be a JSON object of plan fields"),
    "a field that is none": ({"uper_c": 1}, "plan.json: uper_c is not a field of a plan"),
    "a text for a number": ({"upper_c": "8"}, "plan.json: upper_c must be a number from"),
    "a band that is none": ({"band": "hot"}, "plan.json: band must be one of cryogenic, "),
    "limits that fit no shipment": ({"lower_c": -100}, "plan.json: lower_c leaves no band: "),
}


async def test_a_stretch_without_history_is_refused(commands, database_url):
    wrong = ("--since", "9999-01-01T00:00:00Z")
    status, _, err = await run(commands, database_url, {"upper_c": -155}, *wrong)
    assert (status, one_line(err)) == (2, "--since lies in the future: there is no history to look at yet")


@pytest.mark.parametrize(("plan", "says"), WRONG.values(), ids=WRONG)
async def test_a_wrong_plan_is_one_line_that_names_the_field(commands, database_url, desk, plan, says):
    await shipped(desk, "S1", warm=range(0))
    status, out, err = await run(commands, database_url, plan)
    assert (status, out) == (2, "")
    line = one_line(err)
    assert line.startswith("--plan ")
    assert says in line


async def test_other_wrong_calls(commands, database_url, desk):
    plan = {"upper_c": -155}
    status, out, err = await run(commands, database_url, plan, "--since", "yesterday")
    assert (status, out) == (2, "")
    assert one_line(err).startswith("--since yesterday: ")
    times = ("--since", "2026-11-02T00:00:00Z", "--until", "2026-11-01T00:00:00Z")
    status, out, err = await run(commands, database_url, plan, *times)
    assert (status, out, one_line(err)) == (2, "", "--until must be after --since")
    status, out, err = await run(commands, database_url, plan, "--shipments", "S7")
    assert (status, out, one_line(err)) == (1, "", "there is no shipment S7")
    nowhere = ("backtest", "--plan", "nowhere.json")
    status, out, err = await asyncio.to_thread(
        commands.run, *nowhere, DATABASE_URL=as_service(database_url), **QUIET
    )
    assert (status, out) == (2, "")
    assert one_line(err) == "--plan nowhere.json: cannot be read: No such file or directory"
