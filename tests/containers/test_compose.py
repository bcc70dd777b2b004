"""Compose as an operator starts it: from an empty machine to a reading that somebody sees, and what operators do then."""

import json
import os
import re
import socket
import ssl
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import trustme

from tests.acceptance.command import eventually
from tests.acceptance.logger import Logger
from tests.containers.conftest import Compose
from tests.containers.podman import logs, run

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
ROLES = ("api", "ingest", "evaluate", "deliver")
READING = {"seq": 0, "temperature_c": -180.0}
AS_WHOM = """
import asyncio, asyncpg, os
async def main():
    c = await asyncpg.connect(os.environ.get("DEWARWATCH_DATABASE_URL") or open(os.environ["DEWARWATCH_DATABASE_URL_FILE"]).read().strip())
    print(await c.fetchval("SELECT current_user || ' ' || rolsuper FROM pg_roles WHERE rolname = current_user"))
asyncio.run(main())
"""


def variables(compose: Compose) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", (compose.folder / ".env").read_text(), re.MULTILINE))


def change(compose: Compose, **values: str) -> None:
    changed = {**variables(compose), **values}
    (compose.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in changed.items()))


def client(compose: Compose, **more: Any) -> httpx.Client:
    given = variables(compose)
    headers = {"Authorization": f"Bearer {given['ADMIN_KEY']}"}
    return httpx.Client(
        base_url=f"http://{given['HTTP_LISTEN']}", headers=headers, timeout=15, trust_env=False, **more
    )


def everything(compose: Compose) -> None:
    compose.start("database", "migrate", "broker-users", "broker", *ROLES)


def logger_sends(compose: Compose, device_id: str) -> None:
    """A logger is registered, and its reading is stored, acknowledged and seen."""
    with client(compose) as admin:
        made = admin.post("/v1/devices", json={"device_id": device_id})
        assert made.status_code == httpx.codes.CREATED, made.text
        assert made.json()["mqtt"]["provisioned"] is True
        host, port = variables(compose)["MQTT_LISTEN"].split(":")
        mqtt = {**made.json()["mqtt"], "url": f"mqtt://{host}:{port}"}
        with Logger(device_id, mqtt) as logger:
            sent = [{**READING, "measured_at": datetime.now(UTC).isoformat()}]
            assert not logger.publish(logger.topic, sent).is_failure
            logger.acknowledged(device_id, 0, 0)
        seen = admin.get(f"/v1/devices/{device_id}").json()
        assert "-180" in json.dumps(seen)


def test_from_an_empty_machine_to_a_reading_that_is_seen(compose: Compose) -> None:
    change(
        compose, LOG_LEVEL="debug", RATES="calls_of_key=7000/60", REFUSED_PER_DAY="4999", QUOTAS="sites=77"
    )
    everything(compose)
    for role in ROLES:
        assert compose.execute(role, "python", "-c", AS_WHOM) == "dewarwatch_app false"
        own = compose.execute(
            role,
            "python",
            "-c",
            "from api.settings import load; s = load(); print(s.log_level, s.refused_per_day, s.quotas.sites)",
        )
        assert own == "debug 4999 77"
        assert int(compose.execute(role, "python", "-c", "import os; print(os.getuid())")) in {1883, 10001}
    most = compose.execute("database", "psql", "-U", "dewarwatch", "-Atc", "SHOW max_connections")
    assert most == "200"
    logger_sends(compose, "first")
    # Who registers a logger has looked whether the broker keeps its account, and has kept a copy.
    assert "broker_accounts_unseen" not in logs(compose.container("api"))
    assert "accounts_not_copied" not in logs(compose.container("api"))
    assert "dynamic-security.json.good" in compose.execute("api", "ls", "/broker")
    for service in ("database", "broker", *ROLES):
        limit = run(
            "podman",
            "inspect",
            compose.container(service),
            "--format",
            "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}",
        )
        assert all(int(number) > 0 for number in limit.split()), service

    # Everything again: another start makes nothing new, and what was there stays.
    compose.down()
    everything(compose)
    with client(compose) as admin:
        assert admin.get("/v1/devices/first").status_code == httpx.codes.OK
    logger_sends(compose, "second")

    # A changed password of the database is a line in .env, and `migrate`.
    change(compose, DATABASE_PASSWORD="another-word-of-32-characters-at-least")
    for service in ("migrate", *ROLES):
        compose.again(service)
    logger_sends(compose, "third")


def test_an_installation_whose_service_was_a_superuser_is_moved_by_the_next_start(compose: Compose) -> None:
    compose.start("database")
    # As the version before had it: one user for all, who made everything.
    url = f"postgresql://dewarwatch:{variables(compose)['POSTGRES_PASSWORD']}@database:5432/dewarwatch"
    image = variables(compose)["DEWARWATCH_IMAGE"]
    alone = (
        "podman",
        "run",
        "--rm",
        "--network",
        f"{compose.name}_default",
        "-e",
        f"DEWARWATCH_DATABASE_URL={url}",
        image,
    )
    run(*alone, "migrate")
    key = run(*alone, "keys", "create", "--role", "admin")
    compose.start("migrate", "broker-users", "broker", "api")
    assert compose.execute("api", "python", "-c", AS_WHOM) == "dewarwatch_app false"
    with client(compose) as admin:
        assert admin.get("/v1/keys", headers={"Authorization": f"Bearer {key}"}).status_code == httpx.codes.OK
    assert "tables_handed_over" in logs(compose.container("migrate"))


def test_secrets_from_files_reach_their_processes_and_no_variable(compose: Compose) -> None:
    given = variables(compose)
    folder = compose.folder / "secrets"
    folder.mkdir(mode=0o700)
    at = "database:5432/dewarwatch"
    worth = {
        "postgres_password": given["POSTGRES_PASSWORD"],
        "database_url": f"postgresql://dewarwatch_app:{given['DATABASE_PASSWORD']}@{at}",
        "database_owner_url": f"postgresql://dewarwatch_owner:{given['DATABASE_OWNER_PASSWORD']}@{at}",
        "database_admin_url": f"postgresql://dewarwatch:{given['POSTGRES_PASSWORD']}@{at}",
        "mqtt_url": f"mqtt://dewarwatch:{given['MQTT_PASSWORD']}@broker:1884",
        "admin_key": given["ADMIN_KEY"],
        "smtp_url": "smtp://mail.example",
    }
    for name, value in worth.items():
        (folder / name).write_text(value + "\n")
        (folder / name).chmod(0o444)
    secrets = (
        "POSTGRES_PASSWORD",
        "DATABASE_OWNER_PASSWORD",
        "DATABASE_PASSWORD",
        "MQTT_PASSWORD",
        "ADMIN_KEY",
    )
    change(compose, MAIL_FROM="a@x.example", **dict.fromkeys(secrets, "file"))
    compose.files = ("compose.yaml", "secrets.compose.yaml")
    everything(compose)
    change(compose, ADMIN_KEY=given["ADMIN_KEY"])
    logger_sends(compose, "first")
    for service in ("database", "broker", *ROLES):
        shown = run("podman", "inspect", compose.container(service))
        assert not any(given[name] in shown for name in secrets), service


def test_tls_for_people_and_for_loggers(compose: Compose) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    folder = compose.folder / "tls" / "certificates"
    folder.mkdir()
    for pem in certificate.cert_chain_pems:
        with (folder / "fullchain.pem").open("ab") as file:
            file.write(pem.bytes())
    certificate.private_key_pem.write_to_path(folder / "privkey.pem")
    os.chown(folder / "privkey.pem", 1883, 1883)
    (folder / "privkey.pem").chmod(0o400)
    compose.files = ("compose.yaml", "tls/compose.yaml")
    compose.start("database", "migrate", "broker-users", "broker", "api")
    compose.command("up", "--detach", "--no-build", "--no-deps", "proxy")
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    given = variables(compose)

    def answered() -> httpx.Response | None:
        try:
            return httpx.get(f"https://{given['HTTPS_LISTEN']}/v1/shipments", verify=trusted, trust_env=False)
        except httpx.TransportError:
            return None

    answer = eventually(answered, 30, lambda: logs(compose.container("proxy")))
    assert answer.status_code == httpx.codes.UNAUTHORIZED
    key = {"Authorization": f"Bearer {given['ADMIN_KEY']}"}
    with httpx.Client(
        base_url=f"https://{given['HTTPS_LISTEN']}", headers=key, verify=trusted, trust_env=False
    ) as admin:
        assert admin.get("/v1/shipments").status_code == httpx.codes.OK
        assert admin.get("/metrics").status_code == httpx.codes.NOT_FOUND
        # The service knows who is calling, and not only the proxy.
        events = admin.get("/v1/security-events", params={"type": "sign_in"}).json()["items"]
        assert {event["address"] for event in events} <= {"127.0.0.1", *gateways(compose)}
        with admin.stream("GET", "/v1/stream") as stream:
            assert next(stream.iter_lines()) == "retry: 2000"
    host, port = given["MQTTS_LISTEN"].split(":")
    with (
        socket.create_connection((host, int(port)), 10) as plain,
        trusted.wrap_socket(plain, server_hostname="localhost") as link,
    ):
        assert link.version() in {"TLSv1.2", "TLSv1.3"}


def gateways(compose: Compose) -> list[str]:
    """Where podman has callers from this machine come from."""
    network = json.loads(run("podman", "network", "inspect", f"{compose.name}_default"))[0]
    return [subnet["gateway"] for subnet in network["subnets"]]
