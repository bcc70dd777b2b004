"""What of this process does not work: found from what its parts say of themselves, for alerts, metrics and `/readyz`."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final, Protocol

import asyncpg
import structlog

from alerts.faults.fault import TOLD_AFTER_S, Fault, Part
from alerts.faults.waiting import Waiting
from alerts.work.errors import TRY_AGAIN
from alerts.work.wakeup import first_of
from api.embedded.broker_users import is_whole
from api.http.services import Probe
from api.identity.device_credentials import CredentialsError, DeviceCredentials
from telemetry.database.clocks import Clocks
from telemetry.mqtt.bridge import IngestState
from telemetry.registry.credentials import EXPECTED_AT

log = structlog.get_logger(__name__)

ACCOUNTS_EVERY_S: Final = 30.0
WHILE_WRONG_EVERY_S: Final = 5.0
_PASSES: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.LockNotAvailableError,  # of the pulse: a process that stands still may hold that
)
LOCKED_TOO_LONG_S: Final = 60.0
"""A session that idles with a lock is ended after this time: one that is held for longer is held by something else."""


class Accounts(Protocol):
    """Whatever keeps the loggers' accounts at the broker."""

    broker: str | None

    async def accounts(self) -> set[str]:
        """Return the names of all accounts; raises CredentialsError."""


class AccountsWatch:
    """Looks now and then whether every logger with a password has an account at the broker."""

    def __init__(self, keeper: Accounts | None) -> None:
        self._keeper = keeper
        self._since: float | None = None
        self.problem: str | None = None
        self.all_are_out = False
        """Whether no logger can get in."""
        self.connected = False
        """Whether there is a broker to ask: that there is none is another part's business."""

    async def run(self, pool: asyncpg.Pool, stop: asyncio.Event) -> None:
        """Look until `stop` is set."""
        while not stop.is_set():
            try:
                if self.connected:
                    await self.look(pool)
            except TRY_AGAIN as error:
                log.debug("accounts_not_looked_at", error=repr(error))
            soon = self.problem is not None or not self.connected
            await first_of(stop, patience_s=WHILE_WRONG_EVERY_S if soon else ACCOUNTS_EVERY_S)

    async def look(self, pool: asyncpg.Pool) -> None:
        """Look once; what cannot be seen now stays as it was."""
        if self._keeper is None:
            return
        known = {row["device_id"] for row in await pool.fetch(EXPECTED_AT, self._keeper.broker)}
        try:
            there = await self._keeper.accounts()
            broken = await asyncio.to_thread(self._file_is_broken)
        except CredentialsError as error:
            log.debug("accounts_not_looked_at", error=str(error))
            return
        missing = known - there
        self.all_are_out = bool(known) and missing == known
        if missing:
            self._set(
                f"{len(missing)} of {len(known)} loggers have no account at the broker and cannot get in: "
                "run `dewarwatch broker-accounts`, and restart the broker"
            )
        elif broken:
            self._set(
                "The broker's file of accounts is not whole, and nobody will get in after its next start: "
                "see whether its disk is full, then run `dewarwatch broker-accounts`"
            )
        else:
            self._set(None)

    def for_s(self) -> float:
        """Return for how long there has been a problem."""
        return 0.0 if self._since is None else monotonic() - self._since

    def _set(self, problem: str | None) -> None:
        self.problem = problem
        self._since = None if problem is None else self._since or monotonic()

    def _file_is_broken(self) -> bool:
        file = self._keeper.accounts_file if isinstance(self._keeper, DeviceCredentials) else None
        try:
            return file is not None and not is_whole(file)
        except PermissionError:  # so it cannot be seen from here
            return False


class Commits:
    """Whether the database takes what is written, by the pulse that every process adds to it.

    Only what the database itself refuses counts: that it is away is seen by everybody, and a lock is somebody's.
    """

    def __init__(self, steady: Callable[[], float] = monotonic) -> None:
        self._steady = steady
        self._since: float | None = None
        self._error: str | None = None

    def hear(self, error: Exception | None) -> None:
        """Take the error of a try to commit; None if it succeeded."""
        if error is None or not isinstance(error, asyncpg.PostgresError) or isinstance(error, _PASSES):
            self._since = self._error = None
            return
        self._since = self._steady() if self._since is None else self._since
        self._error = type(error).__name__

    def find(self) -> list[Fault]:
        """Return the fault, once it has lasted."""
        for_s = 0.0 if self._since is None else self._steady() - self._since
        if for_s <= TOLD_AFTER_S:
            return []
        return [
            Fault(
                Part.STORING,
                for_s,
                f"The database answers and stores nothing ({self._error}): see whether its disk is full, or it is read-only",
            )
        ]


class Faults:
    """Finds what does not work now."""

    def __init__(self, clocks: Clocks, accounts: AccountsWatch) -> None:
        self.clocks = clocks
        self.accounts = accounts
        self.waiting = Waiting()
        self.commits = Commits()
        self._ingest: IngestState | None = None

    def hear(self, state: IngestState) -> None:
        """Take the state that ingest reports, about once a second."""
        self._ingest = state
        self.accounts.connected = state.connected

    def find(self) -> Sequence[Fault]:
        """Return all faults that are worth telling."""
        found = [] if self._ingest is None else of_ingest(self._ingest)
        if not any(fault.part is Part.STORING for fault in found):
            found += self.commits.find()
        if (wrong_for_s := self.clocks.wrong_for_s()) is not None and self.clocks.last is not None:
            found.append(
                Fault(
                    Part.CLOCK,
                    wrong_for_s,
                    f"The database's clock is {self.clocks.last.ahead_s:+.1f} s ahead of the service's: set the one "
                    "that is wrong. Meanwhile no reading is refused for its time",
                )
            )
        if self.accounts.problem is not None:
            found.append(Fault(Part.ACCOUNTS, self.accounts.for_s(), self.accounts.problem))
        return found + self.waiting.find()

    async def probe_ingest(self) -> Probe:
        """Say whether readings arrive and are stored."""
        state = self._ingest
        if state is None:
            return Probe(ok=False, detail={"problem": "not started yet"})
        fault = next(iter(of_ingest(state)), None)
        detail = asdict(state) | (_told(fault) if fault else {})
        return Probe(ok=state.connected and state.stuck_for_s <= TOLD_AFTER_S, detail=detail)

    async def probe_clock(self) -> Probe:
        """Note that the clocks differ; the process stays ready, as it stores everything meanwhile."""
        last = self.clocks.last
        detail: dict[str, Any] = {} if last is None else {"database_ahead_s": round(last.ahead_s, 3)}
        fault = next((one for one in self.find() if one.part is Part.CLOCK), None)
        return Probe(ok=True, detail=detail | (_told(fault) if fault else {}))

    async def probe_accounts(self) -> Probe:
        """Say whether loggers have accounts at the broker; that some have none leaves the process ready."""
        fault = next((one for one in self.find() if one.part is Part.ACCOUNTS), None)
        return Probe(ok=not self.accounts.all_are_out, detail=_told(fault) if fault else {})

    async def probe_commits(self, *, answers: bool) -> Probe:
        """Say whether the database takes what is written; a process that `answers` calls stays ready to show what there is."""
        fault = next(iter(self.commits.find()), None)
        return Probe(ok=fault is None or answers, detail=_told(fault) if fault else {})

    async def probe_waiting(self, part: Part, *, answers: bool) -> Probe:
        """Say whether what is due is done; a process that `answers` calls as well stays ready for these."""
        fault = next((one for one in self.waiting.find() if one.part is part), None)
        return Probe(ok=fault is None or answers, detail=_told(fault) if fault else {})


def _told(fault: Fault) -> dict[str, Any]:
    since = datetime.now(UTC) - timedelta(seconds=fault.for_s)
    return {"problem": fault.problem, "since": since.isoformat(timespec="seconds")}


def of_ingest(state: IngestState) -> list[Fault]:
    """Return the faults in a state of ingest."""
    found = []
    if state.away_for_s > TOLD_AFTER_S:
        found.append(
            Fault(
                Part.BROKER,
                state.away_for_s,
                f"The broker cannot be used, so that no reading arrives: {state.problem}",
            )
        )
    if state.stuck_for_s > TOLD_AFTER_S:
        why = f" ({state.error})" if state.error else ""
        found.append(
            Fault(
                Part.STORING,
                state.stuck_for_s,
                f"The database stores nothing{why}, and {state.waiting} messages wait: see whether its disk is full, "
                "or a table is locked",
            )
        )
    elif state.locked_for_s > LOCKED_TOO_LONG_S:
        found.append(
            Fault(
                Part.STORING,
                state.locked_for_s,
                f"The readings of {state.locked} loggers are not stored, as another session of the database has "
                "locked these: end it",
            )
        )
    return found
