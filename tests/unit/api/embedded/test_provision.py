"""What provisioning does where nothing can be fetched: it says so, goes on with what there is, and leaves nothing."""

import re
import stat
from pathlib import Path

import pytest

from api.embedded import apt, provision
from api.embedded.find import servers_folder


@pytest.fixture
def bare(tmp_path, monkeypatch) -> Path:
    """A machine without programs of its own, and an empty folder for servers."""
    monkeypatch.setenv("DEWARWATCH_SERVERS", str(tmp_path / "servers"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("api.embedded.find._SYSTEM_POSTGRES", tmp_path / "nowhere")
    monkeypatch.setattr("api.embedded.find._mosquitto_of_the_machine", lambda: None)
    (tmp_path / "bin").mkdir()
    return tmp_path


def program(bare: Path, name: str, script: str) -> None:
    path = bare / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_without_apt_the_wheels_serve(bare, capsys):
    assert provision.main() == 0
    said = capsys.readouterr().out
    assert "PostgreSQL with TimescaleDB cannot be provided here (apt-get: No such file or directory)" in said
    assert re.search(r"database: PostgreSQL \d+ without TimescaleDB \(from a wheel\)", said)
    assert "broker: NATS server (from a wheel), in place of mosquitto: MQTT 3.1.1 only" in said


def test_what_failed_is_not_tried_again_the_same_day(bare, capsys):
    provision.main()
    capsys.readouterr()
    program(bare, "apt-get", f"touch {bare}/asked; exit 100")
    assert provision.main() == 0
    assert "could not be provided" in capsys.readouterr().out
    assert not (bare / "asked").exists()


def test_what_a_killed_run_left_half_made_goes(bare):
    half_made = servers_folder() / "making-abc" / "tree"
    half_made.mkdir(parents=True)
    provision.main()
    assert [path.name for path in servers_folder().iterdir() if path.is_dir()] == []


APT_WITHOUT_LISTS = """
for word; do last=$word; done
conf=$APT_CONFIG
case " $* " in
*" indextargets "*)
    # As apt does: only what has been fetched is named, into the state that the configuration names.
    [ -n "$conf" ] && grep -q Error-Mode $conf && [ -e "$(dirname $conf)/fetched" ] || exit 0
    echo 'http://mirror.example/debian bookworm main' ;;
*" update "*)
    if grep -q sourcelist $conf; then echo known >$(dirname $conf)/known; exit 0; fi
    %s ;;
esac
"""


def test_a_machine_with_empty_lists_has_its_mirrors_all_the_same(bare, monkeypatch):
    monkeypatch.setattr(apt, "debian_codename", lambda: "bookworm")
    monkeypatch.setenv("PATH", f"{bare}/bin:/usr/bin:/bin")
    program(bare, "apt-get", APT_WITHOUT_LISTS % "touch $(dirname $conf)/fetched")
    apt.Apt(bare / "state")
    assert (bare / "state" / "known").exists()
    assert (
        (bare / "state" / "sources.list").read_text().endswith("http://mirror.example/debian bookworm main\n")
    )


def test_a_mirror_that_does_not_answer_is_said_and_not_taken_for_an_unknown_package(bare, monkeypatch):
    monkeypatch.setattr(apt, "debian_codename", lambda: "bookworm")
    monkeypatch.setenv("PATH", f"{bare}/bin:/usr/bin:/bin")
    program(bare, "apt-get", APT_WITHOUT_LISTS % "echo 'E: Failed to fetch it: refused' >&2; exit 100")
    with pytest.raises(apt.AptError, match=r"^apt-get: E: Failed to fetch it: refused$"):
        apt.Apt(bare / "state")


def test_another_source_that_does_not_answer_does_no_harm(bare, monkeypatch):
    monkeypatch.setattr(apt, "debian_codename", lambda: "bookworm")
    monkeypatch.setenv("PATH", f"{bare}/bin:/usr/bin:/bin")
    program(
        bare,
        "apt-get",
        APT_WITHOUT_LISTS % "touch $(dirname $conf)/fetched; echo 'E: vendor away' >&2; exit 100",
    )
    apt.Apt(bare / "state")
    assert (bare / "state" / "known").exists()


def test_a_foreign_distribution_is_told_apart(bare, monkeypatch):
    monkeypatch.setattr(apt, "debian_codename", lambda: "bookworm")
    program(bare, "apt-get", "echo 'http://mirror.example/other noble main'")
    with pytest.raises(apt.AptError, match="no Debian mirror among the machine's apt sources"):
        apt.Apt(bare / "state")


def test_apt_s_own_reason_is_shown(bare, monkeypatch):
    monkeypatch.setattr(apt, "debian_codename", lambda: "bookworm")
    indextargets = "[ $1 = indextargets ] && echo 'http://mirror.example/debian bookworm main' && exit"
    program(
        bare, "apt-get", f"{indextargets}\necho 'W: odd' >&2; echo 'E: The mirror is asleep' >&2; exit 100"
    )
    with pytest.raises(apt.AptError, match=r"^apt-get: E: The mirror is asleep$"):
        apt.Apt(bare / "state")
    sources = (bare / "state" / "sources.list").read_text()
    assert sources.endswith("http://mirror.example/debian bookworm main\n")


def test_only_debian_s_own_sources_are_used_the_plain_release_first(bare, monkeypatch):
    monkeypatch.setattr(apt, "debian_codename", lambda: "bookworm")
    program(
        bare,
        "apt-get",
        "cat <<E\n"
        "http://mirror.example/security bookworm-security main\n"
        "http://mirror.example/debian bookworm main\n"
        "http://mirror.example/debian bookworm contrib\n"
        "http://vendor.example/tools nodistro main\n"
        "E",
    )
    monkeypatch.setenv("PATH", f"{bare}/bin:/usr/bin:/bin")
    assert apt._mirrors(apt._targets()) == [
        ("http://mirror.example/debian", "bookworm"),
        ("http://mirror.example/security", "bookworm-security"),
    ]
