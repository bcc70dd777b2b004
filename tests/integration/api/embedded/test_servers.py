"""The embedded servers as a service has them: below one folder, surviving what happens to them, leaving nothing."""

import contextlib
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from api.embedded import EmbeddedError, embedded_servers
from api.embedded.folder import owned, recall
from tests.conftest import missing


@pytest.fixture
def data(servers_dir: Path, request: pytest.FixtureRequest) -> Path:
    return servers_dir / request.node.name


def wait_for(condition: Callable[[], bool], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def processes_below(folder: Path) -> list[int]:
    found = []
    for cwd in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if cwd.readlink().is_relative_to(folder):
                found.append(int(cwd.parent.name))
    return found


@contextlib.contextmanager
def run_as_a_program(data: Path) -> Iterator["subprocess.Popen[str]"]:
    """The servers in a process of their own, which says "ready"."""
    # A shell has what it starts in the background ignore Ctrl-C, and that would be handed on.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "api.embedded.run", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout
            for line in process.stdout:
                if line.strip() == "ready":
                    break
            yield process
        finally:
            process.kill()


async def execute(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_a_second_start_goes_on_with_the_same_data_on_the_same_ports(data):
    with embedded_servers(data, print) as first:
        await execute(first.admin_url, "CREATE TABLE kept AS SELECT 4711 AS number")
    assert not processes_below(data)
    with embedded_servers(data, print) as second:
        assert second.admin_url == first.admin_url
        assert (second.owner_url, second.database_url) == (first.owner_url, first.database_url)
        assert second.mqtt_url == first.mqtt_url
        assert await execute(second.admin_url, "SELECT number FROM kept") == 4711


async def test_the_database_is_durable_and_keeps_to_itself(postgres):
    settings = {
        name: await execute(postgres.url, f"SHOW {name}")
        for name in (
            "fsync",
            "full_page_writes",
            "synchronous_commit",
            "data_checksums",
            "password_encryption",
            "listen_addresses",
        )
    }
    assert settings == {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "data_checksums": "on",
        "password_encryption": "scram-sha-256",
        "listen_addresses": "127.0.0.1",
    }


async def test_timescaledb_is_loaded_and_makes_hypertables(postgres):
    if postgres.program.programs.timescaledb is None:
        missing("TimescaleDB")
    await execute(postgres.url, "CREATE EXTENSION timescaledb")
    await execute(postgres.url, "CREATE TABLE traces (at timestamptz NOT NULL, temperature_c float8)")
    made = "SELECT created FROM create_hypertable('traces', by_range('at'))"
    assert await execute(postgres.url, made) is True


async def test_the_database_wants_its_password(postgres):
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url.replace("secret", "guessed"))


def test_only_its_owner_can_read_the_secrets(data):
    with owned(data) as folder:
        recall(folder)
        assert (folder / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_folder_in_use_names_the_process_that_uses_it(data):
    told = rf"in use by process {os.getpid()}\b"
    with owned(data), pytest.raises(EmbeddedError, match=told) as caught, embedded_servers(data, print):
        pass
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_gives_one_line(data):
    data.write_text("a file where the folder should be")
    told = "cannot be used: Not a directory"
    with pytest.raises(EmbeddedError, match=told) as caught, embedded_servers(data / "below", print):
        pass
    assert "\n" not in str(caught.value)


def test_a_port_that_was_taken_meanwhile_is_exchanged_and_said(data):
    with embedded_servers(data, print):
        pass
    with owned(data) as folder:
        before = recall(folder)
    with socket.create_server(("127.0.0.1", before.broker_port)), embedded_servers(data, print) as servers:
        (line,) = [line for line in servers.description if "is taken" in line]
        now = re.search(r"now answers on (\d+)", line)
        assert line.startswith(f"port {before.broker_port} is taken: the broker")
        assert now
        assert f":{now[1]}" in servers.mqtt_loggers_url


async def test_a_server_that_dies_is_reported_and_comes_back(data):
    reports: queue.Queue[str] = queue.Queue()
    with embedded_servers(data, reports.put) as servers:
        for server in (servers.database, servers.broker):
            killed = server.pid
            assert killed
            os.kill(killed, signal.SIGKILL)
            assert reports.get(timeout=30).startswith(
                f"{server.program.name} ended (SIGKILL) and is started again"
            )
            wait_for(
                lambda server=server, killed=killed: (
                    server.pid not in (None, killed) and server.program.ready(server.pid)
                )
            )
        assert await execute(servers.admin_url, "SELECT 1") == 1
    assert reports.empty()
    assert not processes_below(data)


def test_kill_9_of_the_owner_leaves_nothing_and_the_next_start_works(data):
    with run_as_a_program(data) as process:
        assert processes_below(data)
        process.kill()
        wait_for(lambda: not processes_below(data))
    with embedded_servers(data, print):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as somebody else")
def test_root_s_servers_also_work_below_a_private_folder(data):
    data.mkdir(mode=0o700)
    probe = ["unshare", "--user", "--map-user=65534", "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:  # as in a container
        told = "below a private folder"
        with pytest.raises(EmbeddedError, match=told), embedded_servers(data / "below", print):
            pass
        return
    with run_as_a_program(data / "below") as process:
        process.kill()
        wait_for(lambda: not processes_below(data))
    with embedded_servers(data / "below", print):
        pass


def test_ctrl_c_in_the_terminal_stops_everything_in_order(data):
    with run_as_a_program(data) as process:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(10) == 0
    assert not processes_below(data)
    log = (data / "postgres.log").read_text()
    assert "database system is shut down" in log
    assert "was not properly shut down" not in log


def test_a_stale_pid_file_whose_number_lives_again_is_no_obstacle(data):
    with embedded_servers(data, print):
        pass
    (data / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{data}/postgres\n")
    with embedded_servers(data, print):
        pass


def test_a_half_made_database_is_made_anew(data):
    half_made = data / "postgres.new"
    half_made.mkdir(parents=True)
    data.chmod(0o711)
    (half_made / "PG_VERSION").write_text("15")
    with embedded_servers(data, print):
        assert not half_made.exists()


def test_a_server_that_cannot_start_says_why_in_one_line(postgres):
    postgres.stop()
    (postgres.program.folder / "postgresql.conf").write_text("shared_buffers = 'plenty'\n")
    with pytest.raises(EmbeddedError, match=r"PostgreSQL did not start: .*FATAL.*postgresql.conf") as caught:
        postgres.start()
    assert "\n" not in str(caught.value)
