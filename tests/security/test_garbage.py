"""Garbage: whoever may send readings may send rubbish, as fast as the line takes it, and it must not fill the disk."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from typing import Self
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.acceptance.command import Command, items
from tests.conftest import in_its_own_loop
from tests.security.neighbour import Neighbour, Phase

MB = 2**20
GARBAGE = b'{"readings": [' + os.urandom(500_000).hex().encode()  # nothing that compresses away
STATUSES = {400, 429}


class Attack:
    """A courier's key that posts garbage over some connections until it is told to stop."""

    def __init__(self, service: Command, key: str) -> None:
        self.at = urlsplit(service.url)
        self.key = key
        self.sent = 0
        self.strange: list[object] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._post) for _ in range(2)]

    def _post(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        with contextlib.closing(HTTPConnection(self.at.hostname or "", self.at.port, timeout=30)) as line:
            while not self._over.is_set():
                try:
                    line.request("POST", "/v1/readings", GARBAGE, headers)
                    answer = line.getresponse()
                    answer.read()
                except (OSError, HTTPException) as error:
                    self.strange.append(error)
                    line.close()
                    continue
                if answer.status not in STATUSES:
                    self.strange.append(answer.status)
                self.sent += len(GARBAGE)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def size_of(database_url: str) -> int:
    """What the tables of refusals take on the disk, with their indexes."""
    found: list[int] = []

    async def ask() -> None:
        connection = await asyncpg.connect(database_url)
        found.append(
            await connection.fetchval(
                "SELECT sum(pg_total_relation_size(t::regclass)) "
                "FROM unnest(ARRAY['refused_messages', 'refusals', 'refusal_quotas']) AS t"
            )
        )
        await connection.close()

    in_its_own_loop(ask())
    return int(found[0])


@contextlib.contextmanager
def courier(service: Command, shipment_id: str) -> Iterator[str]:
    with service.client() as admin:
        made = admin.post("/v1/keys", json={"role": "courier", "shipment_ids": [shipment_id]})
        assert made.status_code == 201, made.text
        yield made.json()["key"]


def post_garbage(service: Command, database_url: str, seconds: float) -> tuple[Phase, Phase]:
    """The neighbour before and beside an attack of which the disk keeps a quota, and nothing of others' evidence is lost."""
    with Neighbour(service) as honest, courier(service, honest.shipment_id) as key:
        quiet = honest.during(min(seconds, 3))
        before = size_of(database_url)
        began = time.monotonic()
        with Attack(service, key) as attack:
            attacked = honest.during(seconds)
        took_s = time.monotonic() - began
        grown = size_of(database_url) - before
        print(  # noqa: T201 - the figures of performance.md
            f"\nsent {attack.sent / MB / took_s:.1f} MB/s, {attack.sent / MB:.0f} MB; the disk grew by {grown / MB:.2f} MB"
        )
        assert not attack.strange, attack.strange[:3]
        assert attack.sent > 5 * MB
        # 1 MiB within an hour, and what the tables cost beside it
        assert 0 < grown < 2.5 * MB
        # An honest logger's conflict is kept as ever, whatever is spent of others' quotas.
        with service.client() as admin:
            device = honest.device_id
            at = next(items(admin, f"/v1/shipments/{device}/readings"))["measured_at"]
            reading = {"device_id": device, "measured_at": at, "temperature_c": -20.0}
            (rejected,) = admin.post("/v1/readings", json={"readings": [reading]}).json()["rejected"]
            assert rejected["reason"] == "conflict"
            (kept,) = items(admin, "/v1/rejected", device_id=device, reason="conflict")
            assert (kept["more"], kept["payload_truncated"]) == (None, False)
            garbage = list(items(admin, "/v1/rejected"))
        counted = sum(1 if one["more"] is None else one["more"]["count"] for one in garbage) - 1
        assert counted <= attack.sent / len(GARBAGE)
        if seconds > 30:
            assert any(one["more"] for one in garbage)
    return quiet, attacked


def test_garbage_costs_the_disk_its_quota_and_a_neighbour_is_served(own_service, database_url):
    _, attacked = post_garbage(own_service, database_url, 1.5)
    attacked.is_served()


@pytest.mark.parametrize("seconds", [4, pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_a_neighbour_does_not_notice_garbage(own_service, database_url, seconds):
    quiet, attacked = post_garbage(own_service, database_url, seconds)
    attacked.is_like(quiet)
