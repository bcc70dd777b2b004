"""Which of several servers is taken, for a new cluster and for one that exists."""

from pathlib import Path

import pytest

from api.embedded import EmbeddedError
from api.embedded.find import BrokerPrograms, PostgresPrograms
from api.embedded.postgres import choose
from api.embedded.servers import choose_broker


def installed(major: int, timescaledb: str | None = None) -> PostgresPrograms:
    return PostgresPrograms(bin=Path(f"/{major}"), major=major, timescaledb=timescaledb, origin="for a test")


def cluster(folder: Path, major: int, *, hypertables: bool = False) -> Path:
    (folder / "PG_VERSION").write_text(f"{major}\n")
    if hypertables:
        (folder / "dewarwatch.timescaledb").touch()
    return folder


WITH, WITHOUT, NEWER = installed(15, "2.19.3"), installed(15), installed(18)


def test_a_new_cluster_takes_the_first(tmp_path):
    assert choose(tmp_path / "none yet", [WITH, NEWER]) is WITH


def test_a_cluster_stays_with_the_version_that_made_it(tmp_path):
    assert choose(cluster(tmp_path, 18), [WITH, WITHOUT, NEWER]) is NEWER


def test_a_plain_cluster_moves_up_to_timescaledb(tmp_path):
    assert choose(cluster(tmp_path, 15), [WITH, WITHOUT]) is WITH


def test_a_cluster_with_hypertables_never_goes_without_timescaledb(tmp_path):
    with pytest.raises(
        EmbeddedError, match="PostgreSQL 15 with TimescaleDB, which this machine no longer has"
    ):
        choose(cluster(tmp_path, 15, hypertables=True), [WITHOUT, NEWER])


def test_without_any_server_the_error_says_what_to_do(tmp_path):
    with pytest.raises(EmbeddedError, match="run `make setup`"):
        choose(tmp_path / "none yet", [])


MOSQUITTO = BrokerPrograms(program=Path("/mosquitto"), plugin=Path("/plugin.so"), origin="for a test")
NATS = BrokerPrograms(program=Path("/nats-server"), plugin=None, origin="for a test")


@pytest.mark.parametrize(
    ("made", "installed", "chosen"),
    [
        ("", [MOSQUITTO, NATS], MOSQUITTO),
        ("", [NATS, NATS], NATS),
        ("dynamic-security.json", [MOSQUITTO, NATS], MOSQUITTO),
        ("users.json", [MOSQUITTO, NATS], NATS),  # the loggers' passwords are there
    ],
)
def test_a_folder_stays_with_its_broker(tmp_path, made, installed, chosen):
    (tmp_path / (made or "new")).touch()
    assert choose_broker(tmp_path, installed) is chosen


def test_a_folder_whose_broker_is_gone_says_so(tmp_path):
    (tmp_path / "dynamic-security.json").touch()
    with pytest.raises(EmbeddedError, match="made by mosquitto, which this machine no longer has"):
        choose_broker(tmp_path, [NATS])
    with pytest.raises(EmbeddedError, match="no MQTT broker on this machine: run `make setup`"):
        choose_broker(tmp_path, [])
