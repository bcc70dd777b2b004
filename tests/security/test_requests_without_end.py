"""Strangers whose requests have no end: each costs bounded bytes, memory and time, and the neighbour does not notice."""

import itertools
import time

import pytest

from tests.security.neighbour import Neighbour
from tests.security.strangers import as_somebody_elses, connect, pour

MEGABYTE = 2**20
MOST = 24 * MEGABYTE  # what is thrown away, and what the kernels of both sides take
HEAD = b"Host: x\r\n"
CHUNKED = b"POST /v1/readings HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

ENDLESS = {
    "an address": (b"GET /", b"a" * 65536, {414, 431}),
    "a query": (b"GET /livez?", b"a=b&" * 16384, {414, 431}),
    "a method": (b"", b"A" * 65536, {400, 431}),
    "empty lines": (b"", b"\r\n" * 32768, {400, 431}),
    "headers": (b"GET /livez HTTP/1.1\r\n" + HEAD, b"a: b\r\n" * 8192, {431}),
    "the name of a header": (b"GET /livez HTTP/1.1\r\n" + HEAD, b"a" * 65536, {431}),
    "the value of a header": (b"GET /livez HTTP/1.1\r\n" + HEAD + b"a: ", b"a" * 65536, {431}),
    "a body that was announced": (
        b"POST /v1/readings HTTP/1.1\r\n" + HEAD + b"Content-Length: 999999999999\r\n\r\n",
        b"a" * 65536,
        {401},
    ),
    "a body of a call without one": (
        b"GET /livez HTTP/1.1\r\n" + HEAD + b"Content-Length: 999999999999\r\n\r\n",
        b"a" * 65536,
        {200},
    ),
    "chunks": (CHUNKED, b"10000\r\n" + b"a" * 65536 + b"\r\n", {401}),
    "tiny chunks": (CHUNKED, b"1\r\na\r\n" * 8192, {401}),
    "the extension of a chunk": (CHUNKED + b"1;", b"a" * 65536, {401, 400}),
    "trailers": (CHUNKED + b"0\r\n", b"a: b\r\n" * 8192, {401, 431}),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_has_no_end_is_refused_and_closed(service, what):
    first, endless, statuses = ENDLESS[what]
    ended = pour(service, first, endless)
    assert ended.closed, ended
    assert ended.seconds < 8, ended
    assert ended.sent < MOST, ended
    assert set(ended.answers) <= statuses, (
        ended
    )  # an answer may be lost to the reset of who does not stop to send


@pytest.mark.parametrize("size", [31 * 1024, 33 * 1024])
@pytest.mark.parametrize("where", ["address", "one header", "headers"])
def test_a_head_has_32_kib_whatever_it_is_made_of_and_however_it_comes(service, where, size):
    head = {
        "address": b"GET /livez?" + b"a" * size + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        "one header": b"GET /livez HTTP/1.1\r\nHost: x\r\na: " + b"a" * size + b"\r\n\r\n",
        "headers": b"GET /livez HTTP/1.1\r\nHost: x\r\n"
        + (b"a: " + b"a" * 1019 + b"\r\n") * (size // 1024)
        + b"\r\n",
    }[where]
    for at_once in (True, False):
        with connect(service) as stranger:
            for place in range(0, len(head), len(head) if at_once else 3000):
                stranger.sendall(head[place : place + (len(head) if at_once else 3000)])
            answer = stranger.recv(4096)
        assert int(answer.split()[1]) in ({200} if size < 32 * 1024 else {414, 431}), answer


def test_the_key_of_somebody_honest_may_come_in_a_chunk_a_line(service):
    """Slow and odd, and not wrong."""
    body = b'{"readings":[]}'
    with connect(service) as caller:
        caller.sendall(CHUNKED[:-2] + b"Authorization: Bearer an-admin-key-of-at-least-32-characters\r\n")
        caller.sendall(b"Content-Type: application/json\r\n\r\n")
        for byte in body:
            caller.sendall(b"1;a=b\r\n%c\r\n" % byte)
        caller.sendall(b"0\r\na: b\r\n\r\n")
        assert caller.recv(4096).startswith((b"HTTP/1.1 200", b"HTTP/1.1 422"))


def test_who_expects_to_be_told_to_go_on_is_not_where_the_answer_is_no(service):
    head = b"POST /v1/readings HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n"
    ended = pour(service, head)
    assert (ended.answers, ended.closed) == ([401], True)
    assert "connection: close" in ended.text.lower()
    assert ended.seconds < 5


@pytest.mark.parametrize("key", ["", "Authorization: Bearer an-admin-key-of-at-least-32-characters\r\n"])
def test_refused_bodies_are_not_read_and_the_answer_arrives(service, key):
    """The caller sends more than is ever read, waits, and still gets the answer, for which it is given a moment."""
    long = f"POST /v1/readings HTTP/1.1\r\nHost: x\r\n{key}Content-Length: 50000000\r\n\r\n".encode()
    with connect(service) as caller:
        caller.sendall(long + b"a" * 100_000)
        heard = b""
        while more := caller.recv(65536):
            heard += more
    assert heard.startswith(b"HTTP/1.1 413" if key else b"HTTP/1.1 401")
    assert b"connection: close" in heard.lower()


def test_thousands_of_requests_at_once_on_one_connection_are_not_kept(service):
    call = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    assert pour(service, call * 10).answers == [200] * 10
    ended = pour(service, b"", call * 5000)
    assert ended.closed
    assert ended.seconds < 8


def test_another_protocol_is_not_spoken_and_the_call_is_answered(service):
    offer = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
    ended = pour(service, offer)
    assert (ended.answers, ended.closed) == ([200], True)


def test_who_leaves_in_the_middle_of_a_body_is_no_fault_of_ours(service):
    key = b"Authorization: Bearer an-admin-key-of-at-least-32-characters\r\n"
    head = b"POST /v1/readings?left HTTP/1.1\r\nHost: x\r\n" + key
    for framing in (b"Content-Length: 100\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"):
        with connect(service) as caller:
            caller.sendall(head.replace(b"?left", b"") + framing)
            time.sleep(0.3)
    deadline = time.monotonic() + 10
    while service.err.count('"status": 499') < 2:
        assert time.monotonic() < deadline, service.err[-2000:]
        time.sleep(0.05)
    assert "Traceback" not in service.err
    assert "request_failed" not in service.err


def pour_all(service, seconds):
    """One stranger, who begins again with the next kind as soon as a connection is closed."""
    until, kinds = time.monotonic() + seconds, itertools.cycle(ENDLESS.values())
    while (left := until - time.monotonic()) > 0:
        first, endless, _ = next(kinds)
        pour(service, first, endless, within_s=left)


def test_a_neighbour_is_served_beside_them_and_they_take_no_memory(service):
    with Neighbour(service) as honest:
        quiet = honest.during(0.5)
        attacked = honest.phase_of(lambda: as_somebody_elses(lambda: pour_all(service, 2)))
        attacked.is_served()
        assert attacked.peak_mb - quiet.peak_mb < 60


@pytest.mark.parametrize("seconds", [4, pytest.param(60, marks=pytest.mark.long)])
def test_a_neighbour_does_not_notice_them(service, seconds):
    with Neighbour(service) as honest:
        quiet = honest.during(3)
        attacked = honest.phase_of(lambda: as_somebody_elses(lambda: pour_all(service, seconds)))
        attacked.is_like(quiet)
        assert attacked.peak_mb - quiet.peak_mb < 60


def test_the_text_of_the_refusal_says_what_would_be_right(service):
    ended = pour(service, b"GET / HTTP/1.1\r\nHost: x\r\na: " + b"a" * 40_000)
    assert ended.answers == [431]
    assert "32768 bytes" in ended.text
    assert "application/problem+json" in ended.text
    garbage = pour(service, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert garbage.answers == [400]
