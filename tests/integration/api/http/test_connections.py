"""Connections at a real server of which only the surroundings are ours: descriptors that run out, proxies, a loop that was frozen."""

import asyncio
import contextlib
import functools
import os
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from api.http.connections.limits import Limits
from api.http.connections.server import Web, bind
from api.http.middleware import Callers

OURS = [ip_network("127.0.0.0/8")]


def by_the_services_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a test on uvloop, which takes connections and runs timers in an order of its own."""

    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(test(**arguments))

    return run


class Application:
    """Answers at once, or at /wait once it may, and says from where the call came."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            await self.may_answer.wait()
        body = scope["client"][0].encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, limits: Limits) -> AsyncIterator[Web]:
    listener = bind("127.0.0.1", 0)
    web = Web(app, listener, limits)
    task = asyncio.create_task(web.run_until_stopped())
    try:
        yield web
    finally:
        web.should_exit = True
        await asyncio.wait_for(task, 10)
        listener.close()


async def call(
    web: Web, path: str = "/", forwarded: Sequence[str] = (), within_s: float = 10
) -> tuple[int, str]:
    """Calls over a connection of its own; gives the status and all of the answer."""
    async with asyncio.timeout(within_s):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(web.url.rpartition(":")[2]))
        lines = "".join(f"X-Forwarded-For: {each}\r\n" for each in forwarded)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}Connection: close\r\n\r\n".encode())
        try:
            answer = (await reader.read()).decode()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
    return int(answer.split()[1]), answer


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[list[int]]:
    """Takes all descriptors of this process; gives them, to be closed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (max(int(one.name) for one in Path("/proc/self/fd").iterdir()) + 16, hard)
    )
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield taken
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in taken:
            os.close(each)


@by_the_services_loop
async def test_without_a_descriptor_left_it_is_told_who_has_a_connection_is_served_and_others_once_there_is_one() -> (
    None
):
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    loop = asyncio.get_running_loop()
    async with serving(Application(), Limits()) as web:
        address = ("127.0.0.1", int(web.url.rpartition(":")[2]))
        with contextlib.ExitStack() as sockets, capture_logs() as logs:
            known, late, later = (sockets.enter_context(socket.socket()) for _ in range(3))
            for each in (known, late, later):
                each.setblocking(False)
            await loop.sock_connect(known, address)

            async def answered(one: socket.socket) -> bool:
                await loop.sock_sendall(one, request)
                return (await asyncio.wait_for(loop.sock_recv(one, 4096), 5)).startswith(b"HTTP/1.1 200")

            assert await answered(known)
            with no_descriptors_left() as taken:
                waiting = []
                for one in (late, later):
                    await loop.sock_connect(one, address)  # the kernel has it
                    waiting.append(asyncio.create_task(answered(one)))
                await until(lambda: logs)
                for _ in range(3):
                    assert await answered(known)
                assert not any(task.done() for task in waiting)
                for _ in range(8):
                    os.close(taken.pop())
                assert await asyncio.gather(*waiting) == [True, True]
        assert [one["event"] for one in logs] == ["connections_not_accepted"], "once, and not each time round"
        assert (await call(web))[0] == 200


@by_the_services_loop
async def test_through_our_proxy_each_caller_has_a_bound_of_its_own_and_nobody_is_who_he_says_he_is() -> None:
    app = Application()
    callers = Callers(app, Limits(per_address=2, proxies=OURS))
    async with serving(callers, callers.limits) as web:
        greedy = [asyncio.create_task(call(web, "/wait", ["198.51.100.1"])) for _ in range(2)]
        await until(lambda: callers._under_way["198.51.100.1"] == 2)
        for forwarded in (
            ["198.51.100.1"],
            ["203.0.113.9, 198.51.100.1"],  # says that somebody else asked it to call
            ["203.0.113.9", "198.51.100.1, 127.0.0.3"],  # by two proxies of ours
        ):
            status, answer = await call(web, "/", forwarded)
            assert status == 503, forwarded
            assert "retry-after" in answer.lower()
        for each, address in (("198.51.100.2", "198.51.100.2"), ("198.51.100.1, 203.0.113.9", "203.0.113.9")):
            assert (await call(web, "/", [each]))[1].endswith(address)
        app.may_answer.set()
        assert [status for status, _ in await asyncio.gather(*greedy)] == [200, 200]
        assert (await call(web, "/", ["198.51.100.1"]))[0] == 200
        assert not callers._under_way, "nothing is kept of who has left"


@by_the_services_loop
async def test_a_proxys_own_connections_are_bounded_in_all_alone_and_a_network_of_ipv6_is_one_caller() -> (
    None
):
    app = Application()
    callers = Callers(app, Limits(connections=20, per_address=2, proxies=OURS))
    async with serving(callers, callers.limits) as web:
        calls = [
            asyncio.create_task(call(web, "/wait", [f"2001:db8:{network}::{number}"]))
            for network in range(6)
            for number in range(3)
        ]
        await until(lambda: sum(task.done() for task in calls) == 6)
        app.may_answer.set()
        statuses = [status for status, _ in await asyncio.gather(*calls)]
        assert sorted(statuses) == [200] * 12 + [503] * 6
        assert [sorted(statuses[at : at + 3]) for at in range(0, 18, 3)] == [[200, 200, 503]] * 6


@by_the_services_loop
async def test_a_stranger_that_calls_itself_a_proxy_is_one_address_whatever_it_says() -> None:
    app = Application()
    callers = Callers(app, Limits(per_address=2, proxies=[ip_network("10.0.0.0/8")]))
    async with serving(callers, callers.limits) as web:
        taken = [asyncio.create_task(call(web, "/wait", [f"198.51.100.{number}"])) for number in range(2)]
        await until(lambda: len(web._doors._open) == 2 and not web._doors.places._waiting)
        # The answer is lost where the kernel resets what has not been read.
        with contextlib.suppress(ConnectionResetError):
            assert (await call(web, "/", ["198.51.100.77"]))[0] == 503
        app.may_answer.set()
        assert [(await task)[1].rpartition("\r\n")[2] for task in taken] == ["127.0.0.1"] * 2


@pytest.mark.parametrize("begun", [b"", b"GET / HT"])
@by_the_services_loop
async def test_what_came_while_the_process_was_frozen_came_in_time(begun: bytes) -> None:
    async with serving(Application(), Limits(head_s=0.3)) as web:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(web.url.rpartition(":")[2]))
        writer.write(begun)
        await until(lambda: [one for one in web._doors._open if one._head_bytes == len(begun)])

        def send_meanwhile() -> None:
            time.sleep(0.1)
            rest = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"[len(begun) :]
            os.write(writer.get_extra_info("socket").fileno(), rest)

        sending = asyncio.get_running_loop().run_in_executor(None, send_meanwhile)
        time.sleep(1.2)  # noqa: ASYNC251 - nothing else runs, as where the processor is somebody else's
        await sending
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 200")
        writer.close()


@by_the_services_loop
async def test_who_is_slow_while_nothing_is_frozen_is_ended_all_the_same() -> None:
    async with serving(Application(), Limits(head_s=0.3)) as web:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(web.url.rpartition(":")[2]))
        writer.write(b"GET / HT")
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 408")
        writer.close()
