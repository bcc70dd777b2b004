"""What a state of ingest says of what does not work."""

from dataclasses import replace

import asyncpg
import pytest

from alerts.faults.fault import Part
from alerts.faults.waiting import Waiting
from alerts.notifications.sender import Channels
from alerts.outbound.resolve import Targets
from api.bootstrap import _probes
from api.descriptors import Descriptors
from api.faults import AccountsWatch, Commits, Faults, of_ingest
from api.roles import ALL_ROLES, Role
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


async def test_every_process_says_that_nothing_can_be_written_and_one_that_answers_stays_ready() -> None:
    now_s = 100.0
    faults = Faults(Clocks(), AccountsWatch(None))
    faults.commits = Commits(lambda: now_s)
    faults.commits.hear(asyncpg.DiskFullError())
    now_s = 116.0
    faults.commits.hear(asyncpg.DiskFullError())
    [fault] = faults.find()
    assert (fault.part, fault.for_s, "DiskFullError" in fault.problem) == (Part.STORING, 16.0, True)
    assert [(await faults.probe_commits(answers=answers)).ok for answers in (True, False)] == [True, False]
    faults.hear(FULL)
    assert [one.problem.startswith("The database stores nothing") for one in faults.find()] == [True]
    faults.hear(WELL)
    for over in (
        None,
        asyncpg.CannotConnectNowError(),
        ConnectionRefusedError(),
        asyncpg.LockNotAvailableError(),
    ):
        faults.commits.hear(asyncpg.ReadOnlySQLTransactionError())
        faults.commits.hear(over)
        now_s += 60.0
        assert faults.find() == []


@pytest.mark.parametrize(
    ("roles", "parts", "stays_ready"),
    [
        ({Role.API}, set(), True),
        ({Role.INGEST}, {"ingest", "accounts"}, False),
        ({Role.EVALUATE}, {"judging", "telling", "mail"}, False),
        ({Role.DELIVER}, {"judging", "telling", "mail", "notices"}, False),
        (ALL_ROLES, {"ingest", "accounts", "judging", "telling", "mail", "notices"}, True),
    ],
)
async def test_each_role_says_what_it_can_see_and_who_answers_calls_stays_ready(
    roles: set[Role], parts: set[str], stays_ready: bool
) -> None:
    faults = Faults(Clocks(), AccountsWatch(None))
    clock = [0.0]
    faults.waiting = Waiting(lambda: clock[0])
    probes = _probes(frozenset(roles), Descriptors(most=1000), faults, Channels(targets=Targets([])))
    assert probes.keys() == {"descriptors", "clock", "commits", *parts}
    faults.waiting.note({"unjudged_s": 100.0, "undecided_s": 1.0, "unsent_s": None, "refused_s": None})
    clock[0] = 20.0
    if "judging" in parts:
        probe = await probes["judging"]()
        assert probe.ok is stays_ready
        assert "nobody judges them" in probe.detail["problem"]
        assert probe.detail["since"]
        assert (await probes["telling"]()).ok


async def test_what_passes_within_seconds_is_no_fault() -> None:
    assert of_ingest(WELL) == []
    assert of_ingest(replace(FULL, stuck_for_s=14.0)) == []
    assert of_ingest(replace(LOCKED, locked_for_s=20.0)) == []
    faults = Faults(Clocks(), AccountsWatch(None))
    assert not (await faults.probe_ingest()).ok  # nothing heard yet
    faults.hear(WELL)
    assert (await faults.probe_ingest()).ok
