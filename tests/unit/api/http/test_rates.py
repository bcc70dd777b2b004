"""The gate: keys, organizations and operators each have their own; turns are waited for; refusals are logged once a minute."""

import asyncio
from contextlib import ExitStack

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from api.http import rates
from api.http.rates import HEEDED, Gate
from api.identity.access import Principal
from api.identity.permissions import KeyRole
from api.rates.bucket import Rate
from api.rates.policy import Limited, Quotas, Rates
from api.refusals import QuotaReached, TooMany

OPERATOR = Principal(name="dw_operator", role=KeyRole.OPS)
FEW = Rates(
    calls_of_key=Rate(most=10, within_s=10),
    calls_of_organization=Rate(most=15, within_s=10),
    calls_of_operator=Rate(most=100, within_s=10),
)


def of(organization: str | None, number: int = 1) -> Principal:
    return Principal(name=f"dw_{organization}_{number}", role=KeyRole.OPS, organization=organization)


def courier(number: int) -> Principal:
    shipments = frozenset({f"S{number}"})
    return Principal(name=f"dw_courier_{number}", role=KeyRole.COURIER, shipment_ids=shipments)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def calls_until_refused(gate: Gate, caller: Principal) -> tuple[int, TooMany]:
    for number in range(1000):
        try:
            gate.spend(caller, Limited.CALLS)
        except TooMany as refused:
            return number, refused
    raise AssertionError("never refused")


def test_a_key_its_organization_and_the_operator_each_have_their_own() -> None:
    clock = Clock()
    gate = Gate(FEW, clock=clock)
    number, refused = calls_until_refused(gate, of("acme", 1))
    assert number == 10
    assert refused.text.startswith("This key has asked for as many calls as it may, 10 at once")
    number, refused = calls_until_refused(gate, of("acme", 2))
    assert number == 5
    assert refused.text.startswith("Your organization has asked")
    assert refused.wait_s == pytest.approx(1 / 1.5)
    assert calls_until_refused(gate, of("bcell"))[0] == 10
    assert calls_until_refused(gate, OPERATOR)[0] == 100
    assert [calls_until_refused(gate, courier(number))[0] for number in (1, 2)] == [10, 10]
    clock.now += 1
    assert calls_until_refused(gate, of("acme", 1))[0] == 1


async def test_a_refusal_is_told_at_once_and_who_does_not_heed_it_waits_longer_and_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, slept = Clock(), list[float]()
    gate = Gate(FEW, clock=clock)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def refused(caller: Principal, times: int) -> list[float]:
        calls_until_refused(gate, caller)
        slept.clear()
        for _ in range(times):
            with pytest.raises(TooMany):
                await gate.admit(caller, 1)
        return list(slept)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    waits = await refused(of("acme"), 100)
    assert waits[: HEEDED.most] == [0] * HEEDED.most
    assert waits == sorted(waits)
    assert waits[-1] == rates.HELD_S
    assert await refused(of("acme", 2), 1) == [rates.HELD_S], "another key of the organization is no way out"
    assert await refused(of("bcell"), 1) == [0]
    clock.now += 2 * HEEDED.within_s
    assert await refused(of("acme"), HEEDED.most) == [0] * HEEDED.most, "it is forgiven"


async def test_an_organization_waits_for_its_turn_and_others_do_not() -> None:
    gate, over, at_work = Gate(quotas=Quotas(calls_at_once=3)), asyncio.Event(), []

    async def call(caller: Principal) -> None:
        async with gate.turn(caller):
            at_work.append(caller.organization)
            await over.wait()

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(call(of("acme", number)))
        await asyncio.sleep(0)
        group.create_task(call(of("bcell")))
        group.create_task(call(OPERATOR))
        await asyncio.sleep(0)
        assert at_work == ["acme"] * 3 + ["bcell", None]
        over.set()
    assert len(at_work) == 22
    assert gate._turns == {}, "nothing is kept of who has left"


async def test_large_bodies_have_places_of_their_own_and_operators_have_them_too() -> None:
    gate = Gate(quotas=Quotas(calls_at_once=1, large_bodies=2))
    for caller in (of("acme"), OPERATOR):
        async with gate.large_body(caller), gate.large_body(caller), gate.turn(caller):
            third = gate.large_body(caller)
            waiting = asyncio.create_task(third.__aenter__())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not waiting.done()
            async with asyncio.timeout(1), gate.large_body(of("bcell")):
                pass
        await waiting
        await third.__aexit__(None, None, None)
    assert gate._turns == {}


def test_the_open_calls_of_a_key_and_of_its_organization_are_bounded_and_those_of_others_are_not() -> None:
    gate = Gate(quotas=Quotas(open_calls=5, open_calls_of_key=3))
    with ExitStack() as opened:
        for number in (1, 1, 1, 2, 2):
            opened.enter_context(gate.open_call(of("acme", number)))
        for number, whose in ((1, "This key has 3 calls open"), (2, "Your organization has 5"), (3, "Your")):
            with pytest.raises(TooMany, match=whose), gate.open_call(of("acme", number)):
                raise AssertionError("it is one too many")
        for other in (of("bcell"), courier(1), *[OPERATOR] * 10):
            opened.enter_context(gate.open_call(other))
    assert not gate._open, "nothing is kept of who has left"
    assert Quotas().within(400) == Quotas(open_calls=100, open_calls_of_key=50)
    assert Quotas().within(4096) == Quotas()


async def test_a_turn_that_does_not_come_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "WAIT_AT_MOST_S", 0.01)
    gate = Gate(quotas=Quotas(calls_at_once=1))
    async with gate.turn(of("acme")):
        with pytest.raises(TooMany, match="have fewer"):
            async with gate.turn(of("acme")):
                raise AssertionError("it is not its turn")
    async with gate.turn(of("acme")):
        pass


async def test_who_leaves_while_it_waits_takes_no_turn_with_it() -> None:
    gate = Gate(quotas=Quotas(calls_at_once=1))

    async def call() -> None:
        async with gate.turn(of("acme")):
            pass

    async with gate.turn(of("acme")):
        waiting = asyncio.create_task(call())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(5), gate.turn(of("acme")):
        pass


def test_backtests_of_one_and_of_all_organizations_are_few_and_those_of_operators_are_not_counted() -> None:
    gate = Gate(quotas=Quotas(backtests=2, backtests_of_all=3))
    with ExitStack() as running:
        for _ in range(2):
            running.enter_context(gate.backtest(of("acme")))
        with (
            pytest.raises(TooMany, match="Your organization has 2 backtests running"),
            gate.backtest(of("acme")),
        ):
            pass
        running.enter_context(gate.backtest(of("bcell")))
        with pytest.raises(TooMany, match="3 backtests are running"), gate.backtest(of("ccell")):
            pass
        running.enter_context(gate.backtest(OPERATOR))
    with gate.backtest(of("acme")):
        pass


def test_refusals_are_all_counted_and_logged_once_a_minute_for_each_key() -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("dewarwatch_limits_refused_total", {"limit": "sites"}) or 0.0

    clock, before = Clock(), counted()
    gate = Gate(clock=clock)
    with capture_logs() as logs:
        for _ in range(100):
            gate.note(QuotaReached("Full.", what=Limited.SITES), "dw_1")
        gate.note(QuotaReached("Full.", what=Limited.SITES), "dw_2")
        clock.now += 60
        gate.note(QuotaReached("Full.", what=Limited.SITES), "dw_1")
    assert [log["who"] for log in logs] == ["dw_1", "dw_2", "dw_1"]
    assert {(log["event"], log["limit"]) for log in logs} == {("limit_reached", "sites")}
    assert counted() - before == 102
