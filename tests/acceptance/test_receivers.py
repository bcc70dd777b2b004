"""The example receivers: they take what we send, once, also while a secret is rotated, and nothing that was tampered with."""

import base64
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from alerts.webhooks.message import body, headers
from tests.acceptance.command import eventually
from tests.conftest import free_port
from tests.node import NODE, packages_of

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "webhooks"
OLD, NEW = b"old-secret-of-32-bytes-and-no-more"[:32], b"new-secret-of-32-bytes-and-no-more"[:32]
TAMPERED = 1000


def shown(secret: bytes) -> str:
    return "whsec_" + base64.b64encode(secret).decode()


class Running:
    """One example as a process of its own."""

    def __init__(self, call: list[str], folder: Path, secret: bytes) -> None:
        self.port = free_port()
        self.said = folder / f"{self.port}.out"
        env = {**os.environ, "WEBHOOK_SECRET": shown(secret), "WEBHOOK_STORE": str(folder / "store")}
        with self.said.open("wb") as out:
            self.process = subprocess.Popen([*call, str(self.port)], cwd=folder, env=env, stdout=out)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=10)
        eventually(self._answers, 20, "the receiver listens")

    def _answers(self) -> bool:
        assert self.process.poll() is None
        try:
            return self.client.post("/", content=b"").status_code == 401
        except httpx.TransportError:
            return False

    def send(self, message: bytes, signed: dict[str, str]) -> int:
        return self.client.post("/", content=message, headers=signed).status_code

    @property
    def taken(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.said.read_text().splitlines()]

    def end(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()


Start = Callable[[bytes], Running]


@pytest.fixture(params=["python", "javascript"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    if request.param == "python":
        call = [sys.executable, str(EXAMPLES / "python" / "receiver.py")]
    else:
        shutil.copytree(
            EXAMPLES / "javascript", tmp_path / "javascript", ignore=shutil.ignore_patterns("node_modules")
        )
        (tmp_path / "javascript" / "node_modules").symlink_to(packages_of(EXAMPLES / "javascript"))
        call = [str(NODE), str(tmp_path / "javascript" / "receiver.js")]
    started: list[Running] = []

    def start_one(secret: bytes) -> Running:
        started.append(Running(call, tmp_path, secret))
        return started[-1]

    yield start_one
    for running in started:
        running.end()


def message(number: int, secrets: list[bytes], at: datetime | None = None) -> tuple[bytes, dict[str, str]]:
    data = {"id": "A1", "shipment_id": "S1", "sequence": number, "message": "Payload above −150 °C"}
    written = body("alert.firing", datetime.now(UTC), data)
    return written, headers(f"7-{number}", written.decode(), secrets, at or datetime.now(UTC))


def test_each_message_is_taken_once_whatever_comes_twice_and_after_a_restart(start: Start) -> None:
    receiver = start(OLD)
    sent = [message(number, [OLD]) for number in (2, 1, 3)]
    assert [receiver.send(*one) for one in [*sent, *sent]] == [204] * 6
    assert [one["data"]["sequence"] for one in receiver.taken] == [2, 1, 3]
    assert receiver.taken[0] == json.loads(sent[0][0])
    receiver.end()
    again = start(OLD)
    assert [again.send(*one) for one in [*sent, message(4, [OLD])]] == [204] * 4
    assert [one["data"]["sequence"] for one in again.taken] == [4]


def test_a_rotation_loses_none(start: Start) -> None:
    """Both sign for 24 hours; the receiver changes over whenever it likes."""
    receiver = start(OLD)
    assert receiver.send(*message(1, [OLD])) == 204
    assert receiver.send(*message(2, [NEW, OLD])) == 204
    receiver.end()
    changed = start(NEW)
    assert changed.send(*message(3, [NEW, OLD])) == 204
    assert changed.send(*message(4, [NEW])) == 204
    assert changed.send(*message(5, [OLD])) == 401


def test_nothing_that_was_tampered_with_is_taken(start: Start, run_seed: int) -> None:
    receiver, chance = start(OLD), random.Random(run_seed)
    for number in range(TAMPERED):
        tamper = chance.choice(TAMPERINGS)
        written, signed = tamper(number, chance)
        assert receiver.send(written, signed) in {401, 413}, (tamper.__name__, signed)
    assert receiver.taken == []
    assert receiver.send(*message(0, [OLD])) == 204


Tampered = tuple[bytes, dict[str, str]]


def a_byte_of_the_body(number: int, chance: random.Random) -> Tampered:
    written, signed = message(number, [OLD])
    place = chance.randrange(len(written))
    other = bytes([(written[place] + chance.randrange(1, 256)) % 256])
    return written[:place] + other + written[place + 1 :], signed


def more_or_less_of_the_body(number: int, chance: random.Random) -> Tampered:
    written, signed = message(number, [OLD])
    return chance.choice([written[:-1], written + b" ", b" " + written, b"", written * 2]), signed


def another_id(number: int, chance: random.Random) -> Tampered:
    written, signed = message(number, [OLD])
    return written, {**signed, "webhook-id": f"7-{number + chance.randrange(1, 1000)}"}


def another_time(number: int, chance: random.Random) -> Tampered:
    written, signed = message(number, [OLD])
    moved = int(signed["webhook-timestamp"]) + chance.choice([-1, 1]) * chance.randrange(1, 1000)
    return written, {**signed, "webhook-timestamp": str(moved)}


def an_old_or_future_message(number: int, chance: random.Random) -> Tampered:
    """Signed rightly, and sent again long after: a replay by somebody who listened."""
    away = timedelta(minutes=chance.choice([-1, 1]) * chance.randrange(6, 10_000))
    return message(number, [OLD], datetime.now(UTC) + away)


def another_secret(number: int, chance: random.Random) -> Tampered:
    return message(number, [chance.randbytes(32)])


def a_bit_of_the_signature(number: int, chance: random.Random) -> Tampered:
    written, signed = message(number, [OLD])
    digest = bytearray(base64.b64decode(signed["webhook-signature"].removeprefix("v1,")))
    digest[chance.randrange(len(digest))] ^= 1 << chance.randrange(8)
    return written, {**signed, "webhook-signature": "v1," + base64.b64encode(digest).decode()}


def a_strange_signature(number: int, chance: random.Random) -> Tampered:
    written, signed = message(number, [OLD])
    right = signed["webhook-signature"]
    strange = [
        "",
        "v1,",
        "v1",
        ",",
        "v1,!!!",
        right.replace("v1,", "v1a,"),
        right.replace("v1,", "v2,"),
        right[:20],
    ]
    return written, {**signed, "webhook-signature": chance.choice(strange)}


def a_header_is_missing(number: int, chance: random.Random) -> Tampered:
    written, signed = message(number, [OLD])
    del signed[chance.choice(sorted(signed))]
    return written, signed


def a_strange_time(number: int, chance: random.Random) -> Tampered:
    written, signed = message(number, [OLD])
    return written, {
        **signed,
        "webhook-timestamp": chance.choice(["", "now", "NaN", "inf", "-1", "0", "1e400", "9" * 30]),
    }


TAMPERINGS = [
    a_byte_of_the_body, more_or_less_of_the_body, another_id, another_time, an_old_or_future_message, another_secret,
    a_bit_of_the_signature, a_strange_signature, a_header_is_missing, a_strange_time,
]  # fmt: skip
