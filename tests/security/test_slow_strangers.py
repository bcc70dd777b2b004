"""Strangers who send or read next to nothing: their connections end, and streams, which are as quiet, do not."""

import contextlib
import re
import socket
import time

import httpx
import pytest

from tests.acceptance.command import ADMIN_KEY, eventually
from tests.security.neighbour import Neighbour
from tests.security.strangers import as_somebody_elses, connect, pour

KEY = f"Authorization: Bearer {ADMIN_KEY}\r\n".encode()
BODY = b"POST /v1/readings HTTP/1.1\r\nHost: x\r\n" + KEY + b"Content-Length: 1000\r\n\r\n"


def metric(service, name: str) -> float:
    text = httpx.get(f"{service.url}/metrics", trust_env=False).text
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


SLOW = {
    "nothing": (b"", b"", []),
    "half a head": (b"GET /livez HTTP/1.1\r\nHost", b"", [408]),
    "a head, a byte at a time": (b"GET /livez HTTP/1.1\r\nHost: x\r\na: ", b"a", [408]),
    "empty lines, one at a time": (b"", b"\r\n", [408]),
    "half a body": (BODY, b"", [408]),
    "a body, a byte at a time": (BODY, b"a", [408]),
    "the next head, a byte at a time": (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /li", b"v", [200, 408]),
    "nothing after an answer": (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"", [200]),
}


@pytest.mark.parametrize("what", SLOW)
def test_what_does_not_come_in_time_is_ended(service, what):
    first, endless, answers = SLOW[what]
    ended = pour(service, first, endless, each_s=0.2)
    assert ended.closed, ended
    assert list(ended.answers) == answers
    assert 0.9 < ended.seconds < 9, ended


@pytest.mark.parametrize("call", [b"/static/swagger-ui/swagger-ui-bundle.js", b"/metrics"])
def test_who_does_not_read_an_answer_is_cut_off(service, call):
    asked = b"GET " + call + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    with contextlib.ExitStack() as stack:
        lazy = stack.enter_context(connect(service, "127.0.0.1", small=True))
        for _ in range(20):  # of any size
            lazy.sendall(asked)
        before = metric(service, 'dewarwatch_http_connections_ended_total{reason="answer_not_read"}')

        def cut_off() -> bool:
            name = 'dewarwatch_http_connections_ended_total{reason="answer_not_read"}'
            return metric(service, name) > before

        eventually(cut_off, 15, "cut off")


def test_who_reads_slowly_gets_all_of_it(service):
    with connect(service, small=True) as slow:
        slow.sendall(b"GET /static/swagger-ui/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n")
        head = slow.recv(300)
        length, read = int(re.search(rb"content-length: (\d+)", head)[1]), len(head.partition(b"\r\n\r\n")[2])
        began = time.monotonic()
        while read < length:
            more = slow.recv(min(length - read, 16384))
            assert more, f"cut off after {read} of {length} bytes"
            read += len(more)
            time.sleep(0.007)
        assert time.monotonic() - began > 2  # twice the time in which who reads nothing is cut off


def test_a_stream_outlives_every_deadline(service):
    with (
        service.client() as ops,
        ops.stream("GET", "/v1/stream", timeout=30) as stream,
        service.client() as teller,
    ):
        lines = stream.iter_lines()
        assert next(lines) == "retry: 2000"
        time.sleep(3.5)  # twice the longest
        name = f"S{time.time_ns()}"
        assert teller.post("/v1/devices", json={"device_id": name}).is_success
        body = {"shipment_id": name, "band": "cryogenic", "device_ids": [name]}
        assert teller.post("/v1/shipments", json=body).is_success
        assert teller.post(f"/v1/shipments/{name}/depart", json={}).is_success
        assert any("shipment.departed" in line for line in lines)


@pytest.fixture
def opened():
    """Connections of a test, to be closed however it ends."""
    sockets: list[socket.socket] = []
    yield sockets
    for each in sockets:
        each.close()


def _half_open(service, count: int, source: str, each_s: float = 0.002) -> list[socket.socket]:
    opened = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            stranger = connect(service, source)
            opened.append(stranger)
            stranger.send(b"GET /livez HTTP/1.1\r\nHost")
        time.sleep(each_s)
    return opened


def test_a_neighbour_is_served_beside_half_open_connections_which_are_bounded_and_end(service, opened):
    """From the address of the neighbour, which has the harder time of it."""
    with Neighbour(service) as honest:
        quiet = honest.during(0.5)
        attacked = honest.phase_of(
            lambda: as_somebody_elses(lambda: opened.extend(_half_open(service, 600, "127.0.0.1", 0.001)))
        )
        assert metric(service, "dewarwatch_http_connections") < 520
        attacked.is_served()
        assert attacked.peak_mb - quiet.peak_mb < 60
        eventually(lambda: metric(service, "dewarwatch_http_connections") < 20, 15, "they end")


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"])
def test_half_open_connections_end_and_a_neighbour_does_not_notice_them(service, source, opened):
    """Also where they come from the address of the neighbour: who waits longest makes room."""
    with Neighbour(service) as honest:
        quiet = honest.during(3)

        def attack():
            until = time.monotonic() + 4
            while time.monotonic() < until:
                opened.extend(_half_open(service, 1, source))  # for those that are ended
                time.sleep(0.02)

        as_somebody_elses(lambda: opened.extend(_half_open(service, 1000, source)))
        honest.during(1)  # opening them takes processor time, and is over; that they stay is the attack
        attacked = honest.phase_of(lambda: as_somebody_elses(attack))
        attacked.is_like(quiet)
        assert attacked.peak_mb - quiet.peak_mb < 60
        eventually(lambda: metric(service, "dewarwatch_http_connections") < 20, 15, "they end")


def test_descriptors_never_run_out_and_it_is_told_when_they_are_scarce(commands, settings, opened):
    service = commands.start("serve", **settings, descriptors="256:256").ready(60)
    with Neighbour(service) as honest:
        quiet = honest.during(2)
        until = time.monotonic() + 4

        def keep_opening():
            while time.monotonic() < until:
                opened.extend(_half_open(service, 100, "127.0.0.2"))

        attacked = honest.phase_of(lambda: as_somebody_elses(keep_opening))
        attacked.is_like(quiet)
        part = httpx.get(f"{service.url}/readyz", trust_env=False).json()["parts"]["descriptors"]
        assert part["most"] == 256
        assert metric(service, "dewarwatch_descriptors_used") < 200
    assert '"event": "connections_ended"' in service.err


def test_being_near_the_limit_of_descriptors_is_told(commands, settings):
    near = commands.start("serve", **settings, descriptors="40:40").ready(60)
    eventually(lambda: "descriptors_scarce" in near.err, 15, lambda: near.err)
    assert "few are left" in httpx.get(f"{near.url}/readyz").json()["parts"]["descriptors"]["problem"]
