import pytest

from alerts.work import pacing
from alerts.work.pacing import AdaptiveLimit

CYCLE_S = 0.04


@pytest.mark.parametrize(
    ("limit", "took_s", "then"),
    [(200, 0.001, 200), (200, 0.05, 200), (200, 0.09, 100), (9, 10.0, 8), (8, 0.001, 11)],
)
def test_a_cycle_takes_as_many_as_it_has_time_for(limit: int, took_s: float, then: int) -> None:
    assert AdaptiveLimit(limit=limit, least=8, most=200).next_limit(took_s, CYCLE_S) == then


async def test_one_that_runs_out_of_time_takes_half() -> None:
    limits = AdaptiveLimit(limit=9, least=8, most=200)

    async def too_long(limit: int) -> int:
        raise TimeoutError(limit)

    with pytest.raises(TimeoutError):
        await limits.cycle(too_long, CYCLE_S)
    assert limits.limit == 4


@pytest.mark.parametrize(("too_long_s", "then"), [(0.0, 4), (30.0, 9)])
async def test_one_that_fails_late_takes_half_whatever_it_fails_with(
    too_long_s: float, then: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "TOO_LONG_S", too_long_s)
    limits = AdaptiveLimit(limit=9, least=8, most=200)

    async def cut_off(_limit: int) -> int:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await limits.cycle(cut_off, CYCLE_S)
    assert limits.limit == then
