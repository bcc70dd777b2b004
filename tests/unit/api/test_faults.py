"""What a state of ingest says of what does not work."""

from dataclasses import replace

import pytest

from alerts.faults.fault import Part
from api.faults import AccountsWatch, Faults, of_ingest
from telemetry.database.clocks import Clocks
from telemetry.mqtt.bridge import IngestState

WELL = IngestState(connected=True, problem=None, slot=0, waiting=3, waiting_bytes=300)
FROZEN = replace(WELL, connected=False, problem="Keep alive timeout", away_for_s=16.0)
FULL = replace(WELL, stuck_for_s=16.0, error="DiskFullError")
LOCKED = replace(WELL, locked=2, locked_for_s=61.0)


@pytest.mark.parametrize(
    ("state", "part", "says", "ready"),
    [
        (FROZEN, Part.BROKER, "Keep alive timeout", False),
        (FULL, Part.STORING, "DiskFullError", False),
        (LOCKED, Part.STORING, "2 loggers", True),
    ],
)
async def test_ready_says_what_does_not_commit_and_since_when(
    state: IngestState, part: Part, says: str, ready: bool
) -> None:
    [fault] = of_ingest(state)
    assert (fault.part, says in fault.problem) == (part, True)
    faults = Faults(Clocks(), AccountsWatch(None))
    faults.hear(state)
    probe = await faults.probe_ingest()
    assert probe.ok is ready
    assert says in probe.detail["problem"]
    assert probe.detail["since"]


async def test_what_passes_within_seconds_is_no_fault() -> None:
    assert of_ingest(WELL) == []
    assert of_ingest(replace(FULL, stuck_for_s=14.0)) == []
    assert of_ingest(replace(LOCKED, locked_for_s=20.0)) == []
    faults = Faults(Clocks(), AccountsWatch(None))
    assert not (await faults.probe_ingest()).ok  # nothing heard yet
    faults.hear(WELL)
    assert (await faults.probe_ingest()).ok
