"""Exports as loggers of many makes write them, each with how it is read.

Of each `NAME.csv` the outcome stands in `NAME.json`; REWRITE=1 in the environment writes it anew, to be read before it
is believed.
"""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from api.cli.replay_csv import told
from simulators.exports.choices import Choices, TraceRefusedError
from simulators.exports.trace import read_trace

FOLDER = Path(__file__).parent / "exports"
ZURICH = ZoneInfo("Europe/Zurich")
NOW = datetime(2026, 11, 30, tzinfo=UTC)
LOCAL = Choices(device_id="LOG-1", zone=ZURICH)
CHOICES = {
    "kelvin-and-epochs": Choices(),
    "american-fahrenheit": replace(LOCAL, zone=ZoneInfo("America/Chicago")),
    "utf-16-tabs": Choices(device_id="LOG-1"),
    "a-comma-in-numbers": replace(LOCAL, zone=UTC),
    "no-zone": Choices(device_id="LOG-1"),
    "two-probes-by-option": Choices(
        device_id="LOG-1", temperature_column="bottom", second_probe_column="TOP", unit="K"
    ),
    **dict.fromkeys(
        ("elpro-zone-line", "zone-of-places", "standard-time-in-summer"), replace(LOCAL, zone=None)
    ),
    "hobo-connect": replace(LOCAL, zone=None, day_first=False),
    "lascar-number-once": replace(LOCAL, device_id=None),
    "decimal-comma-stated": replace(LOCAL, decimal_comma=True),
    "no-header": Choices(
        device_id="LOG-1", time_column="2", temperature_column="3", second_probe_column="4", unit="C"
    ),
}


def outcome(name):
    try:
        trace = read_trace((FOLDER / f"{name}.csv").read_bytes(), CHOICES.get(name, LOCAL), NOW)
    except TraceRefusedError as error:
        return {"refused": str(error)}
    return {
        "told": list(told(replace(trace, remarks=()), f"{name}.csv", everything=False)),
        "readings": [[reading.line, reading.device_id, reading.fields()] for reading in trace.readings],
        "not sent": {remark.line: remark.text for remark in trace.remarks if not remark.sent},
        "to look at": {remark.line: remark.text for remark in trace.remarks if remark.sent},
    }


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.csv")), ids=lambda path: path.stem)
def test_a_trace(path):
    found = json.loads(json.dumps(outcome(path.stem)))
    expected = path.with_suffix(".json")
    if os.environ.get("REWRITE"):
        expected.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    assert found == json.loads(expected.read_text())


def test_every_outcome_has_its_trace():
    assert {path.stem for path in FOLDER.glob("*.json")} == {path.stem for path in FOLDER.glob("*.csv")}
