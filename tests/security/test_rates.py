"""Callers that ask for as much as they can, beside somebody honest: the honest one is served as before, and never refused.

The limits are those of a small service here, so that a test meets them within seconds; the defaults are wider.
"""

import itertools
import secrets
import select
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from tests.acceptance.command import Command, eventually
from tests.security.conftest import a_service
from tests.security.neighbour import Neighbour
from tests.security.strangers import ELSEWHERE, as_somebody_elses, connect

RATES = "calls_of_key=20/20,calls_of_organization=40/20,readings_of_key=20000/100,wrong_keys_of_address=20/60"
QUOTAS = "calls_at_once=2,backtests=1,streams=20,streams_kept_for_operator=50"
FOR_S, THREADS = 5.0, 8


@pytest.fixture(scope="module")
def limited(migrated_postgres, servers_dir) -> Iterator[Command]:
    """A service with limits that a test meets within seconds."""
    with a_service(migrated_postgres, servers_dir, "limited", RATES=RATES, QUOTAS=QUOTAS) as command:
        yield command


def key(service: Command, role: str = "ops", **bounds: Any) -> str:
    with service.client() as admin:
        made = admin.post("/v1/keys", json={"role": role, **bounds})
        assert made.status_code == 201, made.text
        return str(made.json()["key"])


class Flood:
    """Calls as fast as they are answered, over several connections from an address of its own."""

    def __init__(self, service: Command, make: Callable[[int], tuple[str, str, bytes | None, str]]) -> None:
        self.service, self._make = service, make
        self.statuses: Counter[int] = Counter()
        self.seconds = 0.0
        self._numbers = itertools.count()

    def run(self, for_s: float = FOR_S, threads: int = THREADS, source: str = ELSEWHERE) -> None:
        began = time.monotonic()
        as_somebody_elses(lambda: self._call_on(began + for_s, source), threads)
        self.seconds = time.monotonic() - began

    def _call_on(self, until: float, source: str) -> None:
        at = urlsplit(self.service.url)
        with closing(
            HTTPConnection(at.hostname or "", at.port, timeout=60, source_address=(source, 0))
        ) as connection:
            while time.monotonic() < until:
                method, path, body, caller = self._make(next(self._numbers))
                headers = {"Authorization": f"Bearer {caller}", "Content-Type": "application/json"}
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                answer.read()
                self.statuses[answer.status] += 1
                if answer.status == 429:
                    assert int(answer.headers["Retry-After"]) >= 1


def a_key() -> str:
    return f"dw_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"


def test_a_tenant_that_calls_without_end_is_held_to_its_rate_and_its_neighbour_is_not(limited):
    keys = [key(limited, organization="acme") for _ in range(4)]
    flood = Flood(limited, lambda number: ("GET", "/v1/shipments?limit=500", None, keys[number % 4]))
    with Neighbour(limited) as honest:
        quiet = honest.during(FOR_S)
        attack = threading.Thread(target=flood.run, kwargs={"for_s": 3 * FOR_S})
        attack.start()
        eventually(lambda: flood.statuses[429], 30, lambda: f"a refusal: {flood.statuses}")
        attacked = honest.during(FOR_S)  # what it may have at once is spent; it goes on as it did
        attack.join()
    attacked.is_like(quiet, calls_floor_ms=300)
    assert set(flood.statuses) == {200, 429}, flood.statuses
    assert flood.statuses[200] <= 40 + 2 * (flood.seconds + 1), flood.statuses


def test_a_tenant_beyond_its_rate_is_refused_and_its_neighbour_is_served(limited):
    caller = key(limited, organization="greedy")
    flood = Flood(limited, lambda _: ("GET", "/v1/shipments?limit=500", None, caller))
    with Neighbour(limited) as honest:
        honest.phase_of(lambda: flood.run(for_s=1.5)).is_served()
    assert set(flood.statuses) == {200, 429}, flood.statuses
    assert flood.statuses[200] <= 20 + flood.seconds + 1, flood.statuses


def test_strangers_without_a_right_key_are_refused_and_the_neighbour_is_served(limited):
    """Keys that are made up, and none at all."""
    made_up = Flood(limited, lambda _: ("GET", "/v1/shipments", None, a_key()))
    none = Flood(limited, lambda _: ("GET", "/v1/shipments", None, ""))

    def attack() -> None:
        also = threading.Thread(target=none.run, kwargs={"for_s": 1.5})
        also.start()
        made_up.run(for_s=1.5, source="127.0.0.3")
        also.join()

    with Neighbour(limited) as honest:
        honest.phase_of(attack).is_served()
    assert set(made_up.statuses) <= {401, 429}, made_up.statuses
    assert made_up.statuses[401] <= 20 + THREADS, made_up.statuses
    assert set(none.statuses) == {401}, none.statuses


def test_wrong_keys_slow_down_whoever_tries_them_and_nobody_else_behind_the_same_address(limited):
    right = key(limited)
    flood = Flood(limited, lambda _: ("GET", "/v1/shipments", None, a_key()))
    tried = threading.Thread(target=flood.run, kwargs={"source": "127.0.0.1"})
    with Neighbour(limited) as honest:  # it has the same address
        quiet = honest.during(FOR_S)

        def attack() -> None:
            tried.start()
            time.sleep(1)
            # A right key that the service has not seen before waits, and is let in.
            with limited.client(right) as somebody:
                assert somebody.get("/v1/sites").status_code == 200
            tried.join()

        attacked = honest.phase_of(attack)
    attacked.is_like(quiet)
    assert set(flood.statuses) <= {401, 429}
    assert flood.statuses[401] <= 20 + THREADS, flood.statuses
    assert flood.statuses.total() < 20 + THREADS * (FOR_S + 10), "each waits for seconds"


def test_one_tenant_does_not_take_the_streams_of_all(limited):
    keys = [key(limited, "viewer", organization="dcell") for _ in range(4)]
    with _streams(limited, keys, 30) as statuses:
        assert statuses == {200: 20, 429: 10}
        other = key(limited, "viewer", organization="bcell")
        with _streams(limited, [other], 3) as others:
            assert others == {200: 3}


@contextmanager
def _streams(service: Command, keys: list[str], count: int) -> Iterator[Counter[int]]:
    """Opens so many streams, one after the other, and keeps them open."""
    with httpx.Client(base_url=service.url, timeout=15, trust_env=False, limits=httpx.Limits()) as client:
        opened = []
        try:
            for number in range(count):
                headers = {"Authorization": f"Bearer {keys[number % len(keys)]}"}
                request = client.build_request("GET", "/v1/stream", headers=headers)
                opened.append(client.send(request, stream=True))
            yield Counter(answer.status_code for answer in opened)
        finally:
            for answer in opened:
                answer.close()


def test_a_page_that_polls_and_an_act_in_bulk_never_meet_a_limit(service):
    """By the defaults: 200 calls at once, and ten a second for a while."""
    caller = key(service, organization="acme")
    bulk = Flood(service, lambda _: ("GET", "/v1/alerts?limit=1", None, caller))
    bulk.run(for_s=2, threads=4)
    assert set(bulk.statuses) == {200}, bulk.statuses


def test_hundreds_of_large_bodies_of_one_key_take_the_memory_of_a_few_and_the_neighbour_is_served(service):
    """All of each but its last byte, at once or a bit at a time: nobody knows that it will not come."""
    caller = key(service, "device", organization="acme", device_ids=["any"])
    head = (
        "POST /v1/readings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {caller}\r\nContent-Length: 1000001\r\n\r\n"
    )
    with Neighbour(service) as honest, ExitStack() as opened:
        quiet = honest.during(0.5)

        def attack() -> None:
            strangers = {
                opened.enter_context(connect(service)): head.encode() + b" " * 1_000_000 for _ in range(300)
            }
            until = time.monotonic() + 2
            for stranger in strangers:
                stranger.setblocking(False)
            while time.monotonic() < until:
                _, writable, _ = select.select([], [one for one, left in strangers.items() if left], [], 0.05)
                for one in writable:
                    with suppress(BlockingIOError, ConnectionError):
                        strangers[one] = strangers[one][one.send(strangers[one]) :]

        attacked = honest.phase_of(lambda: as_somebody_elses(attack))
        attacked.is_served()
        assert attacked.peak_mb - quiet.peak_mb < 150


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_courier_that_uploads_as_fast_as_it_can_never_meets_a_limit_by_default(service):
    """A thousand readings a call, half a minute long."""
    name = f"fast-{secrets.token_hex(3)}"
    with service.client() as ops:
        assert ops.post("/v1/devices", json={"device_id": name}).status_code == 201
        shipment = {
            "shipment_id": name,
            "band": "cryogenic",
            "organization": "acme",
            "device_ids": [name],
            "departed_at": "2026-01-01T00:00:00Z",
        }
        assert ops.post("/v1/shipments", json=shipment).status_code == 201
    courier = key(service, "courier", organization="acme", shipment_ids=[name])
    start = int(time.time() * 1000) - 10**9

    def body(number: int) -> bytes:
        readings = [
            {"device_id": name, "measured_at": start + (number * 1000 + n) * 100, "temperature_c": -180.0}
            for n in range(1000)
        ]
        return orjson.dumps({"readings": readings})

    flood = Flood(service, lambda number: ("POST", "/v1/readings", body(number), courier))
    flood.run(for_s=30, threads=2)
    assert set(flood.statuses) == {200}, flood.statuses


@pytest.mark.long
@pytest.mark.timeout(600)
def test_readings_beyond_the_rate_are_refused_and_the_neighbours_are_stored(limited):
    name = f"greedy-{secrets.token_hex(3)}"
    device = key(limited, "device", organization="acme", device_ids=[name])
    body = orjson.dumps(
        {"readings": [{"device_id": name, "measured_at": n, "temperature_c": -180.0} for n in range(1000)]}
    )
    flood = Flood(limited, lambda _: ("POST", "/v1/readings", body, device))
    with Neighbour(limited) as honest:
        quiet = honest.during(10)
        attacked = honest.phase_of(lambda: flood.run(for_s=20))
    attacked.is_like(quiet)
    assert flood.statuses[429] > flood.statuses[200] > 0, flood.statuses
