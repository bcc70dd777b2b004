"""`dewarwatch demo`: what somebody sees who starts it for the first time, and again."""

import os
import pty
import re
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import orjson
import pytest

from tests.acceptance.command import (
    DEWARWATCH,
    Command,
    Commands,
    environment,
    eventually,
    one_line,
    processes_of,
)
from tests.conftest import free_port


def start(commands: Commands, data: Path, *more: str, terminal: int | None = None) -> Command:
    call = ("demo", "--fleet", "6", "--data", data, "--port", str(free_port()), *more)
    return commands.start(*call, terminal=terminal, ADMIN_KEY="")


def test_within_a_minute_it_finds_an_excursion_and_says_where_to_look(commands, folder):
    data = folder / "a data folder"
    demo = start(commands, data)
    curl = demo.printed(r"^ +(curl .*)$")[1]
    its_variables_lead_other_commands_to_it(demo, data)
    found = r"excursions ([1-9]\d* open, \d+|\d+ open, [1-9]\d*) closed"
    demo.printed(found, within_s=60)
    assert "\x1b" not in demo.out
    excursions = orjson.loads(by_shell(curl))["items"]
    assert excursions
    assert demo.interrupted() == 0
    assert demo.out.endswith("Stopped. The data is kept; start again to continue with it.\n")
    assert (demo.err, processes_of(data)) == ("", {})

    again = start(commands, data)
    again.printed(found, within_s=60)
    known = {
        each["id"]
        for each in orjson.loads(by_shell(again.printed(r"^ +(curl .*)$")[1].replace("=5", "=500")))["items"]
    }
    assert {each["id"] for each in excursions} <= known
    assert again.stopped(signal.SIGTERM) == 0


def its_variables_lead_other_commands_to_it(demo: Command, data: Path) -> None:
    """Which ones they are is also what tests/acceptance/test_pages.py has the pages rely on."""
    variables = data / "demo.env"
    assert stat.S_IMODE(variables.stat().st_mode) == 0o600
    loads = demo.printed(r"^ +(\. .*)$")[1].split("#")[0]
    values = dict(re.findall(r"^export (\w+)=(.*)$", variables.read_text(), re.MULTILINE))
    assert values.keys() == {
        "DEWARWATCH_DATABASE_URL",
        "DEWARWATCH_MQTT_URL",
        "DEWARWATCH_ADMIN_KEY",
        "URL",
        "KEY",
    }
    assert by_shell(f'{loads} && echo "$DEWARWATCH_MQTT_URL"').startswith("mqtt://")
    assert by_shell(f"{loads} && {DEWARWATCH} keys create --role qa").startswith("dw_")
    assert orjson.loads(by_shell(f'{loads} && curl -s -H "Authorization: Bearer $KEY" "$URL/v1/keys"'))[
        "items"
    ]


def by_shell(line: str, cwd: Path | None = None) -> str:
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    done = subprocess.run(  # noqa: PLW1510 -- its words are told below
        line, shell=True, capture_output=True, text=True, timeout=60, env=environment(ADMIN_KEY=""), cwd=cwd
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_at_a_terminal_it_shows_itself_in_place(commands, folder):
    ours, its = pty.openpty()
    os.set_blocking(ours, False)
    demo = start(commands, folder / "data", "--speed", "600", terminal=its)
    os.close(its)
    shown = bytearray()

    def shows(what: bytes) -> bool:
        try:
            shown.extend(os.read(ours, 65536))
        except BlockingIOError:
            return False
        except OSError:  # it has closed the terminal
            assert what in shown, shown[-2000:].decode(errors="replace")
        return what in shown

    try:
        eventually(lambda: shows(b"excursion.opened"), 90, lambda: shown[-2000:].decode(errors="replace"))
        assert b"\x1b[?25l" in shown  # the cursor is hidden
        os.write(ours, b"\x03")
        eventually(
            lambda: shows(b"Stopped. The data is kept"), 15, lambda: shown[-2000:].decode(errors="replace")
        )
        assert demo.ended() == 0
        assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")  # and is back
        assert b"Traceback" not in shown
    finally:
        os.close(ours)


def test_a_port_in_use_is_said_in_one_line_and_nothing_stays(commands, folder, embedded):
    port = embedded.url.rpartition(":")[2]
    status, _, err = commands.run("demo", "--data", folder / "data", "--port", port)
    assert status == 1
    assert one_line(err).startswith(f"port {port} on 127.0.0.1 is in use")
    assert not (folder / "data").exists()
    status, _, err = commands.run("serve", "--embedded", folder / "data", HTTP_PORT=port, LOG_LEVEL="error")
    assert (status, one_line(err).startswith(f"port {port} on 127.0.0.1 is in use")) == (1, True)
    assert not (folder / "data").exists()
