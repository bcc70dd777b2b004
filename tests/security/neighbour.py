"""An honest neighbour: somebody who uses the service as it is meant to be used, while somebody else attacks it.

It is a process of its own, so that an attacker written in Python does not slow down the clock that judges it. It calls
the HTTP interface as ops would (lists, a device, a write; half of the calls over new connections), and is a logger at the
broker that sends a reading each 100 ms and waits for its `ack`. Each call and each reading has an instant at which it is
due, and counts from that instant: a freeze of ten seconds is forty late calls, and not a single one.

    def test_an_attack(service):                           # fixture `service` of tests/security/conftest.py
        with Neighbour(service) as honest:
            quiet = honest.during(seconds=3)
            with attack(service):
                attacked = honest.during(seconds=5)
            attacked.is_like(quiet)                        # asserts: p99 of calls and of acks, nothing refused
            assert attacked.peak_mb - quiet.peak_mb < 50   # of the server's process
        # leaving the block asserts that nothing was refused and that all that was sent is acknowledged and stored

A test that asks `is_like` compares times, so it runs with `make test-times`, alone. One that asks `is_served` only holds
that the neighbour goes on, which `make test` can ask beside other tests.

- `Neighbour(service, key=ADMIN_KEY)`: `service` is a running `tests.acceptance.command.Command` with the roles `api` and
  `ingest`. Entering registers a logger and a shipment under way, and waits until both kinds of measurements arrive.
- `honest.during(seconds)` waits, and gives the `Phase` of all calls and readings that were due meanwhile. It waits for
  their ends, too, for `PATIENCE_S` at most. `honest.phase_of(attack)` does so for as long as a function runs.
- `Phase.calls`, `Phase.acks` are `Times`, in ms: `len(times)`, `.p50`, `.p99`, `.worst`; `Phase.refused` says in words
  whatever was not answered as it should be; `Phase.peak_mb` is the largest resident memory of the process during the phase.
- `attacked.is_like(quiet, times=3, calls_floor_ms=…, acks_floor_ms=…)` asserts. The floors are for the noise of a machine
  with two cores that others use as well: below them nobody calls a service slow.
- `attacked.is_served(within_s=…)` asserts that nothing was refused, and that nothing took longer than anybody waits for.
- `honest.stored()` gives the `seq` of all of its readings that the service has.
- `resident_mb(pid)` is the memory of any process.
"""

import contextlib
import itertools
import math
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

from tests.acceptance.command import ADMIN_KEY, Command, items
from tests.acceptance.logger import Logger

CALL_EACH_S, READING_EACH_S = 0.25, 0.1
PATIENCE_S = 60.0
_ROOT = Path(__file__).parents[2]


def resident_mb(pid: int, what: str = "VmRSS") -> float:
    """The resident memory of a process; its peak with VmHWM."""
    line = next(
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what)
    )
    return int(line.split()[1]) / 1024


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


@dataclass(frozen=True)
class Times:
    """How long each of some took, in ms, shortest first."""

    ms: Sequence[float]

    def __len__(self) -> int:
        return len(self.ms)

    def quantile(self, share: float) -> float:
        return self.ms[min(math.ceil(share * len(self.ms)), len(self.ms)) - 1]

    @property
    def p50(self) -> float:
        return self.quantile(0.5)

    @property
    def p99(self) -> float:
        return self.quantile(0.99)

    @property
    def worst(self) -> float:
        return self.ms[-1]

    def __str__(self) -> str:
        if not self.ms:
            return "none"
        return f"{len(self)}: p50 {self.p50:.0f}, p99 {self.p99:.0f}, worst {self.worst:.0f} ms"


@dataclass(frozen=True)
class Phase:
    """What the neighbour saw of the calls and readings that were due within a span of time."""

    calls: Times
    acks: Times
    refused: Sequence[str]
    peak_mb: float

    def __str__(self) -> str:
        return (
            f"calls {self.calls}; acks {self.acks}; refused {len(self.refused)}; peak {self.peak_mb:.0f} MB"
        )

    def is_served(self, within_s: float = 5) -> None:
        """Asserts that there were calls and acknowledgements, that nothing was refused, and that none took for ever."""
        assert self.calls, self
        assert self.acks, self
        assert not self.refused, f"{self.refused[:5]}\n{self}"
        assert max(self.calls.worst, self.acks.worst) < within_s * 1000, self

    def is_like(
        self, quiet: "Phase", *, times: float = 3, calls_floor_ms: float = 150, acks_floor_ms: float = 500
    ) -> None:
        """Asserts that nothing honest was refused, and that the p99 grew to so many times at most."""
        both = f"\nquiet:    {quiet}\nattacked: {self}"
        print(both)  # noqa: T201 - shown with -s, and where something fails
        assert not self.refused, f"{self.refused[:5]}{both}"
        assert self.calls.p99 <= max(times * quiet.calls.p99, calls_floor_ms), f"calls are slow{both}"
        assert self.acks.p99 <= max(times * quiet.acks.p99, acks_floor_ms), f"acknowledgements are slow{both}"


@dataclass(frozen=True)
class _Seen:
    kind: str
    due: float
    ms: float
    refused: str | None


class Neighbour:
    """Runs the honest process, hears what it measures, and asserts at the end that nothing was lost."""

    def __init__(self, service: Command, key: str = ADMIN_KEY) -> None:
        self.service = service
        self.key = key
        name = f"honest-{secrets.token_hex(3)}"
        self.device_id, self.shipment_id = name, name
        self._seen: list[_Seen] = []
        self._news = threading.Condition()
        self._sent: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._hear, daemon=True)

    def __enter__(self) -> Self:
        mqtt = self._register()
        self._process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL"),  # should the tests themselves be killed
                *(sys.executable, "-m", "tests.security.neighbour"),
                *(self.service.url, self.key, self.device_id, orjson.dumps(mqtt).decode()),
            ],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._thread.start()
        self._all_due_before(time.monotonic())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._nothing_is_lost()
        finally:
            assert self._process is not None
            self._process.kill()
            self._thread.join()
            with self._process:  # closes the pipes
                pass

    def during(self, seconds: float) -> Phase:
        """What is measured from now on for so long."""
        return self.phase_of(lambda: time.sleep(seconds))

    def phase_of(self, attack: Callable[[], object]) -> Phase:
        """What is measured while a function runs."""
        _forget_peak(self.service.pid)
        began = time.monotonic()
        attack()
        ended = time.monotonic()
        peak_mb = resident_mb(self.service.pid, "VmHWM")
        self._all_due_before(ended)
        with self._news:
            seen = [one for one in self._seen if began <= one.due <= ended]
        return Phase(
            calls=Times(sorted(one.ms for one in seen if one.kind == "call")),
            acks=Times(sorted(one.ms for one in seen if one.kind == "ack")),
            refused=[one.refused for one in seen if one.refused],
            peak_mb=max(peak_mb, resident_mb(self.service.pid, "VmHWM")),
        )

    def stored(self) -> set[int]:
        """The `seq` of each reading that the service has."""
        with self.service.client(self.key) as ops:
            return {each["seq"] for each in items(ops, f"/v1/shipments/{self.shipment_id}/readings")}

    def _register(self) -> dict[str, Any]:
        with self.service.client(self.key) as ops:
            registered = ops.post("/v1/devices", json={"device_id": self.device_id})
            assert registered.status_code == 201, registered.text
            shipment = {
                "shipment_id": self.shipment_id,
                "band": "cryogenic",
                "device_ids": [self.device_id],
                "departed_at": datetime.now(UTC).isoformat(),
            }
            made = ops.post("/v1/shipments", json=shipment)
            assert made.status_code == 201, made.text
        mqtt: dict[str, Any] = registered.json()["mqtt"]
        return mqtt

    def _hear(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = orjson.loads(line)
            with self._news:
                if "sent" in said:
                    self._sent = said["sent"]
                else:
                    self._seen.append(_Seen(**said))
                self._news.notify_all()

    def _all_due_before(self, at: float) -> None:
        """Waits until one of each kind that was due later has come: those before it have ended, as they go one by one."""

        def last(kind: str) -> float:
            return next((one.due for one in reversed(self._seen) if one.kind == kind), -math.inf)

        with self._news:
            came = self._news.wait_for(lambda: min(last("call"), last("ack")) > at, PATIENCE_S)
            assert came, (
                f"calls end {at - last('call'):.1f} s and acknowledgements {at - last('ack'):.1f} s ago"
            )

    def _nothing_is_lost(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()  # it ends what it has begun, and says how much it was
        with self._news:
            assert self._news.wait_for(lambda: self._sent is not None, PATIENCE_S), "not all is acknowledged"
            assert self._sent is not None
            refused = [one.refused for one in self._seen if one.refused]
        assert not refused, refused[:5]
        lost = set(range(1, self._sent + 1)) - self.stored()
        assert not lost, f"acknowledged, and not stored: {sorted(lost)[:10]}"


# -- the process --------------------------------------------------------------------------------------------------------


def _ticks(each_s: float, over: threading.Event) -> Iterator[float]:
    """Gives the instants at which something is due, at once where they have passed, until it is over."""
    due = time.monotonic()
    while not over.wait(max(0.0, due - time.monotonic())):
        yield due
        due += each_s


def _say(**what: object) -> None:
    os.write(1, orjson.dumps(what) + b"\n")  # in one piece, whichever thread says it


def _call_on(url: str, key: str, device_id: str, over: threading.Event) -> None:
    """Makes calls one after the other, as they are due."""
    calls: Sequence[tuple[str, str, Any]] = (
        ("GET", "/v1/shipments?limit=20", None),
        ("GET", f"/v1/devices/{device_id}", None),
        ("POST", "/v1/dewars", {"dewar_id": device_id}),
        ("GET", "/v1/alerts?limit=20", None),
    )
    at = urlsplit(url)
    numbers = itertools.count()
    # The standard library's client takes a tenth of the processor time of httpx, which the service needs as well.
    with contextlib.closing(HTTPConnection(at.hostname or "", at.port, timeout=PATIENCE_S)) as connection:
        for _ in range(
            2
        ):  # the first of each kind pays for connections and plans, which is no matter of attackers
            for method, path, body in calls:
                _refusal(connection, key, method, path, body)
        for due in _ticks(CALL_EACH_S, over):
            number = next(numbers)
            method, path, body = calls[number // 2 % len(calls)]
            if body is not None:
                body = {"dewar_id": f"{body['dewar_id']}-{number}"}
            if number % 2:  # by a connection of its own
                connection.close()
            refused = _refusal(connection, key, method, path, body)
            _say(kind="call", due=due, ms=(time.monotonic() - due) * 1000, refused=refused)


def _refusal(connection: HTTPConnection, key: str, method: str, path: str, body: Any) -> str | None:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, None if body is None else orjson.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, HTTPException) as error:
        connection.close()
        return f"{method} {path}: {error!r}"
    return None if answer.status < 300 else f"{method} {path}: {answer.status} {text[:200].decode()}"


class _Measured(Logger):
    """A logger that says how long after it was due each reading was acknowledged."""

    due: dict[int, float]
    through: int = 0

    def hear(self, device_id: str, ack: bytes) -> None:
        super().hear(device_id, ack)
        now = time.monotonic()
        told = self.acks[-1][1]["through"]
        for seq in range(self.through + 1, told + 1):
            _say(kind="ack", due=self.due[seq], ms=(now - self.due[seq]) * 1000, refused=None)
        self.through = max(self.through, told)


def _log_on(device_id: str, mqtt: dict[str, Any], over: threading.Event) -> int:
    """Sends readings as they are due, waits for the last acknowledgement, and gives how many there were."""
    seq = 0
    with _Measured(device_id, mqtt) as logger:
        logger.due = {}
        for due in _ticks(READING_EACH_S, over):
            seq += 1
            logger.due[seq] = due
            at = datetime.now(UTC).isoformat()
            logger.send(
                logger.topic,
                orjson.dumps({"measured_at": at, "temperature_c": -180.0, "seq": seq, "boot": 1}),
            )
        logger.until(lambda: logger.through >= seq, PATIENCE_S)
    return seq


def main() -> None:
    """Runs until standard input ends."""
    url, key, device_id, mqtt = sys.argv[1:]
    over = threading.Event()
    calls = threading.Thread(target=_call_on, args=(url, key, device_id, over))
    calls.start()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    sent = _log_on(device_id, orjson.loads(mqtt), over)
    calls.join()
    _say(sent=sent)


if __name__ == "__main__":
    main()
