"""Calls that end by themselves: wrong ones with status 2 and a line that says what is wrong, right ones with what they print."""

import asyncio
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from api.schema_upgrade import head, pending
from tests.acceptance.command import one_line
from tests.conftest import free_port

DATABASE = "postgresql://dewarwatch:secret@127.0.0.1:5432/dewarwatch"
BROKER = "mqtt://dewarwatch:secret@127.0.0.1:1883"

WRONG_SETTINGS = {
    "no database": (
        {"MQTT_URL": BROKER},
        "DEWARWATCH_DATABASE_URL is not set: set it to, for example, postgresql://",
    ),
    "no broker": (
        {"DATABASE_URL": DATABASE},
        "DEWARWATCH_MQTT_URL is not set: set it to, for example, mqtt://",
    ),
    "another database": (
        {"DATABASE_URL": "mysql://h/d"},
        "DEWARWATCH_DATABASE_URL: must look like postgresql://",
    ),
    "a database without host": (
        {"DATABASE_URL": "postgresql:///d"},
        "DEWARWATCH_DATABASE_URL: must look like",
    ),
    "another broker": ({"MQTT_URL": "http://h"}, "DEWARWATCH_MQTT_URL: must look like mqtt://"),
    "a port that is none": ({"HTTP_PORT": "70000"}, "DEWARWATCH_HTTP_PORT: "),
    "a word for a port": ({"MQTT_URL": "mqtt://h:port"}, "DEWARWATCH_MQTT_URL: "),
    "a short key": ({"ADMIN_KEY": "short"}, "DEWARWATCH_ADMIN_KEY: must have at least 32 characters"),
    "no network": ({"WEBHOOK_ALLOW_NETWORKS": "10.0.0.0/33"}, "DEWARWATCH_WEBHOOK_ALLOW_NETWORKS: "),
    "a wrong log format": ({"LOG_FORMAT": "xml"}, "DEWARWATCH_LOG_FORMAT: "),
}


@pytest.mark.parametrize(("settings", "says"), WRONG_SETTINGS.values(), ids=WRONG_SETTINGS)
def test_a_wrong_or_missing_setting_is_named_in_one_line(commands, settings, says):
    status, out, err = commands.run("serve", **settings)
    assert (status, out) == (2, "")
    assert one_line(err).startswith(says)


WRONG_CALLS = {
    "command": (["serv"], "serv"),
    "option": (["serve", "--rolls", "api"], "--rolls"),
    "role": (
        ["serve", "--roles", "api,cook"],
        "'cook' is not a role: choose from api, ingest, evaluate,",
    ),
    "scenario": (["simulate", "--scenario", "picnic"], "there is no scenario 'picnic'"),
    "number": (["demo", "--fleet", "none"], "--fleet"),
    "key role": (["keys", "create", "--role", "boss"], "--role boss: must be one of admin, ops, qa"),
    "courier's key without its shipments": (
        ["keys", "create", "--role", "courier"],
        "--shipment-ids is required for the role courier",
    ),
    "simulation without a broker": (["simulate"], "DEWARWATCH_MQTT_URL is not set"),
}


@pytest.mark.parametrize(("call", "says"), WRONG_CALLS.values(), ids=WRONG_CALLS)
def test_a_wrong_call_says_what_is_wrong(commands, database_url, call, says):
    status, out, err = commands.run(*call, DATABASE_URL=database_url)
    assert (status, out) == (2, "")
    assert says in err
    assert "Traceback" not in err


def test_the_schema_is_made_once_however_often_and_by_however_many(commands, empty_database_url):
    both = [commands.start("migrate", DATABASE_URL=empty_database_url) for _ in range(2)]
    assert [one.ended(30) for one in both] == [0, 0]
    assert asyncio.run(pending(empty_database_url)) is None
    assert commands.run("migrate", DATABASE_URL=empty_database_url)[0] == 0


def test_no_role_starts_on_a_database_that_was_not_migrated(commands, empty_database_url):
    call = ("serve", "--roles", "evaluate")
    status, out, err = commands.run(*call, DATABASE_URL=empty_database_url, LOG_LEVEL="error")
    assert (status, out) == (1, "")
    assert one_line(err) == f"the schema is at nothing, this version needs {head()}: run `dewarwatch migrate`"


CALLS = (["migrate"], ["serve"], ["keys", "create", "--role", "ops"])


def test_a_database_that_refuses_us_is_a_wrong_setting(commands, database_url):
    wrong_password = database_url.replace("secret", "guessed")
    wrong_name = urlsplit(database_url)._replace(path="/nowhere").geturl()
    refused = "DEWARWATCH_DATABASE_URL: the database refuses it: "
    for call, url in zip(CALLS, (wrong_password, wrong_name, wrong_password), strict=True):
        status, out, err = commands.run(*call, DATABASE_URL=url, MQTT_URL=BROKER, LOG_LEVEL="error")
        assert (status, out) == (2, "")
        assert one_line(err) == refused + (
            'database "nowhere" does not exist'
            if url == wrong_name
            else 'password authentication failed for user "dewarwatch"'
        )


def test_a_database_that_is_not_there_is_waited_for_as_long_as_the_settings_say(commands):
    nobody = f"postgresql://u:p@127.0.0.1:{free_port()}/d"
    settings = {"DATABASE_URL": nobody, "MQTT_URL": BROKER, "START_PATIENCE_S": "0.5", "LOG_LEVEL": "error"}
    for command in [commands.start(*call, **settings) for call in CALLS]:
        assert (command.ended(), command.out) == (1, "")
        assert one_line(command.err).startswith("the database cannot be reached, after 0.5 s of trying: ")


def test_keys_need_a_schema_to_be_kept_in(commands, empty_database_url):
    status, out, err = commands.run("keys", "create", "--role", "ops", DATABASE_URL=empty_database_url)
    assert (status, out) == (1, "")
    assert one_line(err).endswith("run `dewarwatch migrate`")


def test_a_port_in_use_is_said_in_one_line(commands, database_url):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = commands.run(
            "serve", "--roles", "deliver", DATABASE_URL=database_url, HTTP_PORT=str(port), LOG_LEVEL="error"
        )
    assert (status, out) == (1, "")
    assert one_line(err).startswith(f"port {port} on 127.0.0.1 is in use")


def test_a_simulation_that_cannot_write_its_truth_says_so_before_it_begins(commands, folder, broker):
    status, out, err = commands.run(
        "simulate",
        "--duration",
        "1",
        "--truth",
        folder / "nowhere" / "truth.json",
        MQTT_URL=broker.url,
    )
    assert (status, out) == (2, "")
    assert one_line(err).startswith("--truth ")


@pytest.mark.parametrize("call", [["--help"], ["serve", "-h"], ["keys", "--help"]])
def test_help_is_no_error(commands, call):
    status, out, err = commands.run(*call)
    assert (status, err) == (0, "")
    assert "Usage: dewarwatch" in out


def test_from_an_empty_database_to_a_key_that_opens_the_api(commands, empty_database_url):
    settings = {"DATABASE_URL": f"{empty_database_url}?sslmode=prefer", "MQTT_URL": BROKER}
    assert commands.run("migrate", **settings)[0] == 0
    status, key, err = commands.run(
        "keys", "create", "--role", "viewer", "--organization", "acme", **settings
    )
    assert (status, err) == (0, "The organization acme is new: until now there was none of that name.\n")
    assert key.count("\n") == 1
    service = commands.start("serve", "--roles", "api", **settings).ready()
    with service.client(key.strip()) as viewer:
        assert viewer.get("/v1/shipments").status_code == httpx.codes.OK
        assert viewer.post("/v1/dewars", json={"dewar_id": "d"}).status_code == httpx.codes.FORBIDDEN
    with service.client(key.strip() + "x") as stranger:
        assert stranger.get("/v1/shipments").status_code == httpx.codes.UNAUTHORIZED
    assert service.stopped() == 0
