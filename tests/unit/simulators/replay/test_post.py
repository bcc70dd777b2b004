"""Readings are posted in batches, until the service answers; refusals come back with their line."""

import asyncio

import httpx
import orjson
import pytest

from simulators.exports.choices import Choices
from simulators.exports.trace import read_trace
from simulators.replay.post import PostRefusedError, RefusedReading, post


def readings(count):
    rows = "".join(
        f"2026-11-{1 + n // 1440:02} {n // 60 % 24:02}:{n % 60:02},{-190 + n / 100}\n" for n in range(count)
    )
    return read_trace(f"Time (UTC),Temp °C\n{rows}".encode(), Choices(device_id="LOG-1")).readings


def api(answer):
    return httpx.AsyncClient(base_url="http://service", transport=httpx.MockTransport(answer))


@pytest.fixture
def waited(monkeypatch):
    """How long it would have waited, without waiting."""
    lengths = []

    async def sleep(seconds):
        lengths.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return lengths


def accepting(request):
    said = orjson.loads(request.content)["readings"]
    assert {reading["device_id"] for reading in said} == {"LOG-1"}
    return httpx.Response(200, json={"accepted": len(said), "duplicates": 0, "rejected": []})


async def test_in_parts_and_with_progress():
    progress = []
    posted = await post(api(accepting), readings(1200), progress.append)
    assert (posted.accepted, posted.answered) == (1200, 1200)
    assert progress == [500, 1000, 1200]


async def test_what_is_refused_comes_back_at_its_line():
    def answer(request):
        wrong = [{"index": 1, "reason": "conflict", "detail": "the first stays"}]
        return httpx.Response(200, json={"accepted": 1, "duplicates": 1, "rejected": wrong})

    posted = await post(api(answer), readings(3), lambda _: None)
    assert posted.rejected == (RefusedReading(3, "conflict", "the first stays"),)
    assert posted.answered == 3


async def test_a_service_that_is_away_is_asked_again(waited):
    answers = iter([httpx.ConnectError("refused"), 503, 429, 502, None])

    def answer(request):
        match next(answers):
            case None:
                return accepting(request)
            case int(status):
                return httpx.Response(status, headers={"Retry-After": "7"} if status == 503 else {})
            case fault:
                raise fault

    posted = await post(api(answer), readings(2), lambda _: None)
    assert posted.accepted == 2
    assert waited == [1, 7, 5, 10]


@pytest.mark.parametrize(
    ("status", "says"),
    [(401, "the key is unknown"), (403, "a key of role courier"), (413, "413 too much")],
)
async def test_a_call_that_is_refused_is_an_error(status, says):
    with pytest.raises(PostRefusedError, match=says):
        await post(api(lambda _: httpx.Response(status, text="too much")), readings(1), lambda _: None)


async def test_it_can_be_stopped_while_it_waits():
    def away(request):
        raise httpx.ConnectError("refused")

    waiting = asyncio.create_task(post(api(away), readings(1), lambda _: None))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
