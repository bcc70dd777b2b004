"""What `deploy/` has for operators agrees with the service: settings, secrets, limits, base images, units."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.bootstrap import connections_at_most
from api.roles import ALL_ROLES, Role
from api.settings import PREFIX, SECRETS, Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if name not in {"database", "broker"}}
OF_THE_IMAGE = {"http_host", "http_port"}
"""Where a process listens within its container."""


def variables(text: str) -> dict[str, str]:
    """The variables that are put into a text, each with what follows its name."""
    return dict(re.findall(r"\$\{(\w+)([^}]*)\}", text))


def test_every_setting_reaches_the_processes_that_compose_starts() -> None:
    given: dict[str, set[str]] = {}
    for service in OURS.values():
        for name, value in service["environment"].items():
            given.setdefault(name, set()).add(value)
    for name in Settings.model_fields.keys() - OF_THE_IMAGE - {"broker_accounts_file"}:
        values = given.pop(PREFIX + name.upper(), set())
        assert len(values) == 1, f"{name} must stand in deploy/compose.yaml, and once"
        put = variables(values.pop())
        composed = name in {"database_url", "database_owner_url", "database_admin_url", "mqtt_url"}
        assert composed or put.keys() == {name.upper()}, name
    assert given.keys() == {"DEWARWATCH_BROKER_ACCOUNTS_FILE"}


def test_each_process_gets_no_secret_but_its_own() -> None:
    who = {
        name: {service for service, one in OURS.items() if PREFIX + name.upper() in one["environment"]}
        for name in SECRETS
    }
    assert who == {
        "database_url": {"migrate", "broker-users", "api", "ingest", "evaluate", "deliver"},
        "database_owner_url": {"migrate"},
        "database_reader_url": {"migrate"},
        "database_admin_url": {"migrate"},
        "mqtt_url": {"broker-users", "api", "ingest"},
        "admin_key": {"api"},
        "smtp_url": {"deliver"},
    }


def test_who_gets_the_sender_of_mails_gets_their_server() -> None:
    """A process with one of them alone does not start."""
    who = [
        {service for service, one in OURS.items() if PREFIX + name in one["environment"]}
        for name in ("SMTP_URL", "MAIL_FROM")
    ]
    assert who == [{"deliver"}, {"deliver"}]


def test_what_must_be_filled_in_stands_in_the_example_and_whatever_stands_there_is_used() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    asked = {name for name, how in variables(text).items() if how.startswith(":?")}
    example = dict(re.findall(r"^([A-Z_]+)=(.*)$", (DEPLOY / "example.env").read_text(), re.MULTILINE))
    assert asked <= {name for name, value in example.items() if not value}
    assert example.keys() <= variables(text).keys()


def test_secrets_from_files_leave_none_in_a_variable() -> None:
    text = (DEPLOY / "secrets.compose.yaml").read_text()
    over = yaml.safe_load(text)
    for name, service in OURS.items():
        if name == "broker-users":
            continue
        changed = over["services"][name]["environment"]
        wanted = {f"{PREFIX}{one.upper()}" for one in SECRETS if one != "database_reader_url"}
        for setting in wanted & service["environment"].keys():
            secret = setting.removeprefix(PREFIX).lower()
            assert (changed[setting], changed[f"{setting}_FILE"]) == ("", f"/run/secrets/{secret}")
            assert secret in over["services"][name]["secrets"]
    users = over["services"]["broker-users"]
    assert users["environment"][f"{PREFIX}DATABASE_URL"] == ""
    assert users["secrets"] == ["mqtt_url"]
    listed = {secret for one in over["services"].values() for secret in one["secrets"]}
    assert listed == over["secrets"].keys()


def test_the_image_is_built_by_one_service_from_a_base_that_can_be_chosen() -> None:
    assert [name for name, one in OURS.items() if "build" in one] == ["migrate"]
    assert len({one["image"] for one in OURS.values()}) == 1
    assert all(one["image"].startswith("${") for one in SERVICES.values())
    docker = (ROOT / "Dockerfile").read_text()
    assert set(re.findall(r"^FROM (\S+)", docker, re.MULTILINE)) == {"${PYTHON_IMAGE}"}
    (default,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)", docker, re.MULTILINE)
    assert SERVICES["migrate"]["build"]["args"] == {"PYTHON_IMAGE": f"${{PYTHON_IMAGE:-{default}}}"}


def test_every_container_has_limits_and_logs_that_end() -> None:
    for name, service in SERVICES.items():
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        if name in OURS:
            assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name


def test_all_processes_together_open_no_more_connections_than_the_database_takes() -> None:
    (most,) = re.findall(
        r"max_connections=\$\{DATABASE_CONNECTIONS:-(\d+)\}", str(SERVICES["database"]["command"])
    )
    pool = Settings.model_fields["database_pool"].default
    opened = {role: connections_at_most(pool, frozenset({role})) for role in ALL_ROLES}
    assert sum(opened.values()) + max(opened.values()) + opened[Role.EVALUATE] <= int(most) * 0.9
    guide = (ROOT / "docs" / "operator.md").read_text()
    assert (
        f"these are {opened[Role.API]} with the role `api` and {opened[Role.EVALUATE]} without it"
        in " ".join(guide.split())
    )


@pytest.mark.parametrize("unit", sorted(path.name for path in (DEPLOY / "systemd").iterdir()))
def test_a_unit_hands_over_secrets_that_there_are_and_systemd_takes_it(unit: str, tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / unit).read_text()
    credentials = dict(re.findall(r"^LoadCredential=(\w+):(\S+)$", text, re.MULTILINE))
    named = dict(re.findall(rf"^Environment={PREFIX}([A-Z_]+)_FILE=%d/(\w+)$", text, re.MULTILINE))
    assert {name.lower(): file for name, file in named.items()} == {name: name for name in credentials}
    assert credentials.keys() <= set(SECRETS)
    if shutil.which("systemd-analyze") is None:
        pytest.skip("this machine has no systemd-analyze")
    # It looks for the program, which is not there yet.
    there = text.replace("/opt/dewarwatch/bin/dewarwatch", shutil.which("true") or "/bin/true")
    (tmp_path / unit).write_text(
        there.replace("User=dewarwatch", "User=daemon").replace("Group=dewarwatch", "")
    )
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / unit],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in verified.stderr.splitlines() if unit in line]
    assert said == []
