"""The broker that operators run themselves starts like the embedded one."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from api.embedded import broker_users
from api.embedded.mosquitto import _CONFIGURATION

DEPLOY = Path(__file__).parents[4] / "deploy"


def settings(text: str) -> set[str]:
    """Everything but places and addresses, which differ."""
    lines = {line.strip() for line in text.split("\n") if line.strip() and not line.startswith("#")}
    return {line for line in lines if not line.startswith(("listener", "plugin", "persistence_location"))}


def test_users_are_written_once_and_then_left_to_the_broker(tmp_path, monkeypatch):
    path = tmp_path / "dynamic-security.json"
    for password in ("first", "second"):
        monkeypatch.setattr(sys, "argv", ["", str(path)])
        monkeypatch.setenv("DEWARWATCH_MQTT_URL", f"mqtt://service:{password}@broker")
        broker_users.main()
        made = path.read_text()
        path.write_text(made.replace("first", "unchanged"))
    assert [client["username"] for client in json.loads(made)["clients"]] == ["service"]
    assert path.stat().st_mode & 0o077 == 0


def test_no_password_stands_in_the_file():
    assert "open sesame" not in broker_users.initial_users("service", "open sesame")


def test_both_brokers_have_the_same_settings():
    assert settings((DEPLOY / "mosquitto.conf").read_text()) == settings(_CONFIGURATION)


def test_with_tls_it_is_the_same_broker_but_for_the_loggers_listener():
    plain, tls = (DEPLOY / "mosquitto.conf").read_text(), (DEPLOY / "tls" / "mosquitto.conf").read_text()
    more = {
        "certfile /certificates/fullchain.pem",
        "keyfile /certificates/privkey.pem",
        "tls_version tlsv1.2",
    }
    assert settings(tls) - settings(plain) == more
    assert settings(plain) <= settings(tls)
    assert [line for line in tls.splitlines() if line.startswith("listener")] == [
        "listener 8883",
        "listener 1884",
    ]


def test_copies_that_are_made_at_once_are_all_made_and_the_last_is_of_the_file(
    tmp_path: Path, capsys
) -> None:
    file = tmp_path / "dynamic-security.json"

    def changed(number: int) -> None:
        new = tmp_path / f"{number}"
        new.write_text(str(number))
        new.replace(file)  # as the broker does it
        broker_users.keep_good_copy(file)

    with ThreadPoolExecutor(8) as at_once:
        list(at_once.map(changed, range(200)))
    assert broker_users.good_copy(file).read_text() == file.read_text()
    assert "accounts_not_copied" not in capsys.readouterr().out
