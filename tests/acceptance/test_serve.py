"""The service with servers of somebody else: every role alone and all of them, from the start to the signal that ends it."""

from urllib.parse import urlsplit

import httpx
import pytest

from api.roles import ALL_ROLES
from tests.acceptance.command import eventually, one_line
from tests.conftest import as_service, free_port


@pytest.fixture
def settings(database_url, broker):
    return {"DATABASE_URL": as_service(database_url), "MQTT_URL": broker.url}


@pytest.mark.parametrize("role", sorted(ALL_ROLES))
def test_each_role_alone_gets_ready_and_stops_when_told(commands, settings, role):
    service = commands.start("serve", "--roles", role, **settings).ready()
    assert httpx.get(f"{service.url}/livez").json()["alive"]
    assert httpx.get(f"{service.url}/metrics").is_success
    assert httpx.get(f"{service.url}/v1/shipments").status_code == (401 if role == "api" else 404)
    assert service.stopped() == 0
    assert "Traceback" not in service.err


def test_all_roles_stop_when_told_whoever_still_listens(commands, settings):
    service = commands.start("serve", **settings).ready()
    with service.client() as ops, ops.stream("GET", "/v1/stream") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "retry: 2000"
        assert service.stopped() == 0
    assert "Traceback" not in service.err


def test_who_waits_for_the_database_still_stops_when_told(commands, settings):
    away = f"postgresql://u:p@127.0.0.1:{free_port()}/d"
    waiting = commands.start("serve", **settings | {"DATABASE_URL": away})
    eventually(lambda: "database_away" in waiting.err, 60, lambda: waiting.err)
    assert waiting.stopped() == 0
    assert "Traceback" not in waiting.err


def test_of_two_that_start_at_once_on_one_port_one_gets_it(commands, settings):
    port = str(free_port())
    call = ("serve", "--roles", "deliver")
    both = [
        commands.start(*call, **settings | {"HTTP_PORT": port, "LOG_LEVEL": level})
        for level in ("info", "error")
    ]
    loser = eventually(
        lambda: next((one for one in both if one.process.poll() is not None), None), 60, "one ends"
    )
    assert loser.ended() == 1
    assert f"dewarwatch: port {port} on 127.0.0.1 is in use" in loser.err
    assert "Traceback" not in loser.err
    winner = both[1 - both.index(loser)]
    assert winner.stopped() == 0


def test_a_broker_that_does_not_let_us_in_is_no_readiness_and_no_crash(commands, settings):
    wrong = settings["MQTT_URL"].replace("secret", "guessed")
    service = commands.start("serve", "--roles", "ingest", **settings | {"MQTT_URL": wrong})
    answer = eventually(lambda: _readyz(service), 60, lambda: service.err)
    assert answer.status_code == 503
    assert not answer.json()["parts"]["ingest"]["ok"]
    assert service.stopped() == 0


def _readyz(service):
    return httpx.get(f"{service.url}/readyz") if '"url"' in service.err else None


def test_the_database_may_be_away_at_the_start(commands, settings, postgres):
    assert commands.run("migrate", **settings | {"DATABASE_URL": postgres.url})[0] == 0
    postgres.stop()
    service = commands.start("serve", **settings | {"DATABASE_URL": postgres.url})
    eventually(lambda: "database_away" in service.err, 60, lambda: service.err)
    postgres.start()
    assert service.ready().stopped() == 0


def test_a_server_that_would_lose_readings_is_refused_with_the_setting(commands, settings, database_url):
    parts = urlsplit(database_url)
    unsafe = parts._replace(query="options=-c%20synchronous_commit%3Doff").geturl()
    status, _, err = commands.run("serve", **settings | {"DATABASE_URL": unsafe}, LOG_LEVEL="error")
    assert status == 1
    assert "synchronous_commit = off" in one_line(err)
