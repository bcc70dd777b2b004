"""An installation without containers, as the operator's guide has it, step by step: users, secrets, broker with TLS, units."""

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import httpx
import pytest
import trustme

from api.embedded.find import find_broker
from api.embedded.process import Supervisor
from tests.acceptance.command import environment, eventually
from tests.acceptance.logger import Logger
from tests.conftest import another_database, as_user, free_port, in_its_own_loop, missing
from tests.pages import ROOT, blocks_of

PAGE = "docs/operator.md"
# What an installation does to the machine itself is not done here; what systemd does with a unit is.
THE_MACHINE = """
useradd() { :; }
chown() { :; }
systemctl() { "$PYTHON" "$SYSTEMCTL" "$@"; }
"""
SYSTEMCTL = '''
"""What systemd does with a unit of ours: copies of the secrets, the variables, the program."""
import os, pathlib, re, subprocess, sys

folder, words = pathlib.Path(os.environ["FOLDER"]), sys.argv[1:]
if words == ["daemon-reload"]:
    sys.exit()
name = words[-1]
unit = (folder / "units" / f"{name}.service").read_text()
credentials = folder / "run" / name
credentials.mkdir(parents=True, mode=0o700)
for secret, file in re.findall(r"^LoadCredential=(\\w+):(\\S+)$", unit, re.M):
    (credentials / secret).write_bytes(pathlib.Path(file).read_bytes())
(settings,) = re.findall(r"^EnvironmentFile=(\\S+)$", unit, re.M)
lines = pathlib.Path(settings).read_text().splitlines()
lines += [line.replace("%d", str(credentials)) for line in re.findall(r"^Environment=(.*)$", unit, re.M)]
env = {"PATH": os.environ["PATH"], **dict(line.split("=", 1) for line in lines)}
(command,) = re.findall(r"^ExecStart=(.*)$", unit, re.M)
with (folder / f"{name}.log").open("wb") as log:
    started = subprocess.Popen(command.split(), env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log)
(folder / f"{name}.pid").write_text(str(started.pid))
if re.search(r"^Type=oneshot$", unit, re.M):
    sys.exit(started.wait())
'''


@contextlib.contextmanager
def broker_with_tls(folder: Path, ports: tuple[int, int], authority: trustme.CA) -> Iterator[None]:
    """mosquitto with `deploy/tls/mosquitto.conf`; only places and ports are this machine's."""
    programs = find_broker()
    if programs is None or programs.plugin is None:
        missing("mosquitto")
    certificate = authority.issue_cert("localhost")
    (folder / "fullchain.pem").write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(folder / "privkey.pem")
    text = (ROOT / "deploy" / "tls" / "mosquitto.conf").read_text()
    for said, here in (
        ("listener 8883", f"listener {ports[0]} 127.0.0.1"),
        ("listener 1884", f"listener {ports[1]} 127.0.0.1"),
        ("/usr/lib/mosquitto_dynamic_security.so", str(programs.plugin)),
        ("/certificates/", f"{folder}/"),
        ("/mosquitto/data/", f"{folder}/mosquitto/"),
    ):
        assert said in text
        text = text.replace(said, here)
    user = "user root\n" if os.geteuid() == 0 else ""
    (folder / "mosquitto.conf").write_text(user + text)
    with (folder / "broker.log").open("wb") as log:
        command = ["setpriv", "--pdeathsig", "KILL", *programs.command("-c", folder / "mosquitto.conf")]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        eventually(lambda: listens(ports[1]), 60, (folder / "broker.log").read_text)
        yield
    finally:
        process.terminate()
        process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def make_users(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in filter(None, map(str.strip, statements.split(";"))):
        await connection.execute(statement)
    await connection.close()


def walk_through(folder: Path, postgres: Supervisor, *, with_pip: bool) -> None:
    http, loggers, service = free_port(), free_port(), free_port()
    (sql,) = [one.text for one in blocks_of(PAGE) if one.language == "sql"]
    assert sql.count("CREATE USER") == 2
    named = sql.replace("'...'", "'secret'").replace("DATABASE dewarwatch ", "DATABASE plant ")
    in_its_own_loop(make_users(postgres.url, named))
    at = postgres.url.rpartition("@")[2].partition("/")[0]

    steps = "\n".join(one.text for one in blocks_of(PAGE, "Without containers") if one.language == "sh")
    for said, here in (
        ("/opt/dewarwatch", f"{folder}/opt"),
        ("/etc/dewarwatch", f"{folder}/etc"),
        ("/etc/systemd/system/", f"{folder}/units/"),
        ("/var/lib/mosquitto/", f"{folder}/mosquitto/"),
        (":...@127.0.0.1:5432/dewarwatch", f":secret@{at}/plant"),
        (":...@127.0.0.1:1884", f":secret@127.0.0.1:{service}"),
        ("127.0.0.1:8080", f"127.0.0.1:{http}"),
        ("mqtts://your.name:8883", f"mqtts://localhost:{loggers}\nDEWARWATCH_HTTP_PORT={http}"),
    ):
        assert said in steps, said
        steps = steps.replace(said, here)
    if not with_pip:  # the same program, installed by set-up
        (folder / "opt").symlink_to(Path(sys.prefix))
        steps = re.sub(r"^(?:python3 -m venv|\S+/bin/pip) .*$", "", steps, flags=re.MULTILINE)
    until_the_broker, rest = steps.split("install -m 0644 ")
    (folder / "units").mkdir()
    (folder / "mosquitto").mkdir()
    (folder / "systemctl.py").write_text(SYSTEMCTL)
    env = {name: value for name, value in environment().items() if not name.startswith("DEWARWATCH_")}
    env |= {"FOLDER": str(folder), "PYTHON": sys.executable, "SYSTEMCTL": str(folder / "systemctl.py")}

    def types(lines: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", THE_MACHINE + lines], cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False
        )  # fmt: skip
        said = done.stdout + done.stderr + "".join(log.read_text() for log in folder.glob("dewarwatch*.log"))
        assert done.returncode == 0, said
        return done.stdout

    authority = trustme.CA()
    types(until_the_broker)
    for secret in (folder / "etc" / "secrets").iterdir():
        assert secret.stat().st_mode & 0o077 == 0, secret
    for unit in (ROOT / "deploy" / "systemd").iterdir():
        text = (
            unit.read_text()
            .replace("/opt/dewarwatch", f"{folder}/opt")
            .replace("/etc/dewarwatch", f"{folder}/etc")
        )
        (folder / unit.name).write_text(text)
    rest = rest.replace("deploy/systemd/", f"{folder}/")
    with broker_with_tls(folder, (loggers, service), authority):
        try:
            assert '"ready":true' in types("install -m 0644 " + rest).replace(" ", "")
            seen(folder, postgres, http, loggers, authority)
        finally:
            stop(folder)


def stop(folder: Path) -> None:
    for file in folder.glob("*.pid"):
        pid = int(file.read_text())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        eventually(lambda pid=pid: not Path("/proc", str(pid), "exe").exists(), 30, f"process {pid} ends")


def seen(folder: Path, postgres: Supervisor, http: int, loggers: int, authority: trustme.CA) -> None:
    """A logger reaches the service through TLS, and the service is nobody who may do more than it needs."""
    key = (folder / "etc" / "secrets" / "admin_key").read_text().strip()
    with httpx.Client(
        base_url=f"http://127.0.0.1:{http}", headers={"Authorization": f"Bearer {key}"}, timeout=15, trust_env=False
    ) as admin:  # fmt: skip
        made = admin.post("/v1/devices", json={"device_id": "LOG-1"})
        assert made.status_code == httpx.codes.CREATED, made.text
        mqtt = made.json()["mqtt"]
        assert (mqtt["url"], mqtt["provisioned"]) == (f"mqtts://localhost:{loggers}", True)
        trusted = ssl.create_default_context()
        authority.configure_trust(trusted)
        with Logger("LOG-1", mqtt, trusted=trusted) as logger:
            reading = {"seq": 0, "measured_at": datetime.now(UTC).isoformat(), "temperature_c": -180.0}
            assert not logger.publish(logger.topic, [reading]).is_failure
            logger.acknowledged("LOG-1", 0, 0)
    log = (folder / "dewarwatch.log").read_text()
    assert "database_user_may_too_much" not in log
    assert key not in log

    async def evidence_stays() -> None:
        service = another_database(as_user(postgres.url, "dewarwatch_app"), "plant")
        connection = await asyncpg.connect(service)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM readings")
        await connection.close()

    in_its_own_loop(evidence_stays())


def test_the_steps_of_the_guide_lead_to_a_service_that_loggers_reach(
    folder: Path, postgres: Supervisor
) -> None:
    walk_through(folder, postgres, with_pip=False)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_same_from_the_lock_of_what_runs_alone(folder: Path, postgres: Supervisor) -> None:
    if shutil.which("python3") is None:
        pytest.skip("this machine has no python3")
    walk_through(folder, postgres, with_pip=True)
