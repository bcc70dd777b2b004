"""Long computations in slices: what runs in between."""

import asyncio
from time import monotonic

from telemetry.slices import SLICE_S, can_wait, in_slices


def busy(_):
    until = monotonic() + SLICE_S
    while monotonic() < until:
        pass
    return monotonic()


async def test_what_is_made_of_each_is_given_in_order():
    assert await in_slices(str, range(5)) == ["0", "1", "2", "3", "4"]
    assert await in_slices(str, []) == []


async def test_others_run_in_between():
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(other())
    await in_slices(busy, range(5))
    running.cancel()
    assert turns >= 5


async def test_what_can_wait_lets_all_of_a_chain_through_before_its_next_slice():
    passed = []

    async def past():
        can_wait.set(True)
        await in_slices(lambda _: passed.append("past") or busy(None), range(4))

    async def chain():
        for step in range(2):  # each step is one wake-up
            await asyncio.sleep(0)
            passed.append(step)

    await asyncio.gather(past(), chain())
    assert passed[:3] == ["past", 0, 1]


async def test_what_can_wait_has_no_slice_while_something_is_computed_that_cannot(monkeypatch):
    monkeypatch.setattr("telemetry.slices.MAX_DEFERRAL_S", 60)
    times = {}

    async def past():
        can_wait.set(True)
        times["past"] = await in_slices(busy, range(4))

    async def live():
        times["live"] = await in_slices(busy, range(4))

    await asyncio.gather(past(), live())
    assert times["past"][0] < times["live"][0]  # it was at it when the live one came
    assert times["past"][1] > times["live"][-1]


async def test_what_can_wait_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr("telemetry.slices.MAX_DEFERRAL_S", 0)
    done = asyncio.Event()

    async def past():
        can_wait.set(True)
        await in_slices(busy, range(3))
        done.set()

    async def live():
        while not done.is_set():
            await in_slices(busy, range(2))

    await asyncio.wait_for(asyncio.gather(past(), live()), 10)


async def test_an_error_ends_it_and_leaves_nobody_waiting(monkeypatch):
    monkeypatch.setattr("telemetry.slices.MAX_DEFERRAL_S", 60)
    results = await asyncio.gather(in_slices(lambda _: 1 / 0, [1]), return_exceptions=True)
    assert isinstance(results[0], ZeroDivisionError)
    can_wait.set(True)
    await asyncio.wait_for(in_slices(busy, range(3)), 10)
