"""The commands of the pages, as a reader copies them beside a demo: in the order of the page, each does what it says."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.command import ADMIN_KEY, DEWARWATCH, Command, embedded_urls, environment

DOCS = Path(__file__).parents[2] / "docs"
WRITES_STATUS = """
curl() {
    command curl "$@" --output "$ANSWERS/body" --write-out '%{stderr}%{http_code} %{method} %{url}\\n'
    local ended=$?
    cat "$ANSWERS/body"
    cp "$ANSWERS/body" "$ANSWERS/$(ls "$ANSWERS" | wc -l)"
    return $ended
}
"""
"""So that each call says on standard error how it was answered, and its answer stays to be looked at."""


def blocks(page: str, heading: str = "") -> list[str]:
    """What a page, or one of its sections, has its reader type."""
    text = (DOCS / page).read_text()
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0] if heading else text
    return re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


class Reader:
    """Somebody who types what the pages say, in the home folder of a user whose demo runs."""

    def __init__(self, home: Path, service: Command, data: Path) -> None:
        self.home = home
        self.answers = home / "answers"
        self.answers.mkdir()
        database_url, mqtt_url = embedded_urls(data)
        variables = home / ".local" / "share" / "dewarwatch" / "demo" / "demo.env"
        variables.parent.mkdir(parents=True)
        variables.write_text(
            f"export DEWARWATCH_DATABASE_URL='{database_url}'\nexport DEWARWATCH_MQTT_URL='{mqtt_url}'\n"
            f"export URL='{service.url}'\nexport KEY='{ADMIN_KEY}'\n"
        )
        (home / "docs").symlink_to(DOCS)

    def types(self, lines: list[str]) -> "subprocess.CompletedProcess[str]":
        settings = {**environment(LOG_LEVEL="error"), "HOME": str(self.home), "ANSWERS": str(self.answers)}
        path = f"{DEWARWATCH.parent}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-c", WRITES_STATUS + "\n".join(lines)],
            cwd=self.home, env={**settings, "PATH": path}, capture_output=True, text=True, timeout=110, check=False,
        )  # fmt: skip

    def answered(self) -> Iterator[Any]:
        """What the calls gave that are answered in JSON, in order."""
        for file in sorted(self.answers.glob("[0-9]*"), key=lambda one: int(one.name)):
            text = file.read_text()
            yield json.loads(text) if text.startswith("{") else text


@pytest.fixture
def reader(folder: Path, embedded: Command, embedded_data: Path) -> Reader:
    return Reader(folder, embedded, embedded_data)


def test_every_call_of_the_api_page_succeeds_in_its_order_and_shows_something(reader: Reader) -> None:
    typed = blocks("api.md")
    done = reader.types(typed)
    calls = re.findall(r"^(\d{3}) ([A-Z]+) http://[^/]+(\S+)$", done.stderr, re.MULTILINE)
    assert len(calls) >= len(re.findall(r"\bcurl ", "".join(typed))) > 25
    assert [call for call in calls if not call[0].startswith("2")] == [], done.stdout
    answers = list(reader.answered())
    shown = {
        path: answer
        for (_, method, path), answer in zip(calls, answers, strict=True)
        if method == "GET" and isinstance(answer, dict)
    }
    about_examples = {path: answer for path, answer in shown.items() if "SH-2026" in path or "as_of" in path}
    assert len(about_examples) >= 7
    for path, answer in about_examples.items():
        assert "items" not in answer or answer["items"], f"{path} shows nothing"
        assert "devices" not in answer or answer["devices"], f"{path} shows nothing"
    forecast = shown["/v1/shipments/SH-2026-0043/forecast"]
    printed = next(
        json.loads(one)
        for one in re.findall(r"```json\n(.*?)```", (DOCS / "api.md").read_text(), re.DOTALL)
        if "hold_time" in one
    )
    assert printed.keys() == forecast.keys()
    assert printed["hold_time"].keys() == forecast["hold_time"].keys()
    assert (printed["shipment_id"], printed["devices"]) == (forecast["shipment_id"], forecast["devices"])


SIMULATIONS = {
    "simulator.md, try it": ("simulator.md", "Try it"),
    "simulator.md, memory": ("simulator.md", "The memory of a logger"),
    "replay.md, recorded traffic": ("replay.md", "Recorded traffic"),
}


@pytest.mark.parametrize(("page", "heading"), SIMULATIONS.values(), ids=SIMULATIONS)
def test_the_simulations_of_the_pages_run_beside_a_demo(reader: Reader, page: str, heading: str) -> None:
    """As they stand, but not for as long."""
    lines = [re.sub(r"\\\n\s*", " ", block) for block in blocks(page, heading)]
    begins = (
        []
        if any("demo.env" in line for line in lines)
        else blocks("simulator.md", "Try it")[0].splitlines()[:1]
    )
    shorter = [
        re.sub(r"^(dewarwatch simulate .*)$", r"\1 --duration 2", line, flags=re.MULTILINE) for line in lines
    ]
    done = reader.types(["set -e", *begins, *shorter])
    assert done.returncode == 0, done.stderr
    assert "readings taken" in done.stdout
    assert "replay" not in page or "numbered readings confirmed as stored" in done.stdout


@pytest.mark.long
def test_the_drill_of_the_page_is_made_and_reports(reader: Reader) -> None:
    (drill,) = blocks("simulator.md", "Drills")
    faster = drill.replace("--speed 600", "--speed 3600").replace(
        "dewarwatch drill", "timeout --signal INT 12 dewarwatch drill"
    )
    done = reader.types([faster])
    assert "Drill on ZRH-FRA-JFK, tipped-in-transit" in done.stdout, done.stderr
    assert re.search(r"^--seed \d+ repeats the journeys", done.stdout, re.MULTILINE)
    assert json.loads((reader.home / "report.json").read_text())["shipments"]


def test_no_page_names_a_shell_command_that_lacks_its_variables() -> None:
    """A block with a command that needs the broker or the database stands below one that reads `demo.env`, or sets them."""
    for page in ("simulator.md", "replay.md"):
        typed = "".join(blocks(page))
        for command in re.findall(r"^dewarwatch (?:simulate|drill)[^\n]*", typed, re.MULTILINE):
            assert "demo.env" in typed[: typed.index(command)], (page, command)
