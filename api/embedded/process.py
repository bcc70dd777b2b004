"""Runs one server as a child process: starts it, restarts it when it dies, and never leaves it behind."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

_READY_WITHIN_S = (
    900.0  # after a crash a large database replays its log; interrupting that would start it over
)
_PATIENT_S = 5.0
_POLL_S = 0.02
_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 30.0
_KEPT_LOG_BYTES = 10_000_000


class EmbeddedError(Exception):
    """An embedded server cannot run; the text is one line that says what to do."""


class Program(Protocol):
    """One kind of server: how to prepare, run and recognize it."""

    name: str
    # The program's name and its working directory: by these a process of an earlier run is recognized.
    executable: str
    folder: Path
    stop_signal: signal.Signals

    @property
    def url(self) -> str:
        """The server's address, with user and password."""

    def prepare(self) -> Sequence[str]:
        """Create or repair the server's files, and return the command that runs it."""

    def ready(self, pid: int) -> bool:
        """Return whether the server answers."""


class Supervisor:
    """Keeps one server running, on a thread of its own.

    The kernel stops the server when the thread that started it ends (see `Account.command`). So this thread
    lives as long as its server, and even `kill -9` of the whole process leaves no server behind.
    """

    def __init__(self, program: Program, report: Callable[[str], None]) -> None:
        self.program = program
        self.log = program.folder.with_name(program.folder.name + ".log")
        self._report = report
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._logged_before = 0

    @property
    def url(self) -> str:
        """The server's address; restarts do not change it."""
        return self.program.url

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it does not run."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the server, unless it runs, and wait until it answers; raise EmbeddedError if it does not."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._stopping.clear()
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(started,), name=self.program.name, daemon=True
        )
        self._thread.start()
        try:
            started.result()
        except OSError as error:
            raise EmbeddedError(f"{self.program.name} cannot be started: {error}") from error

    def stop(self, with_signal: signal.Signals | None = None, *, within_s: float = 30.0) -> None:
        """Stop the server, with SIGKILL after `within_s` seconds; does nothing if it does not run."""
        self._stopping.set()
        if self._thread is None:
            return
        deadline = time.monotonic() + within_s
        while self._thread.is_alive():
            asked = with_signal or self.program.stop_signal
            if (process := self._process) is not None:
                process.send_signal(asked if time.monotonic() < deadline else signal.SIGKILL)
            self._thread.join(1.0)  # then signal again: a busy NATS server can miss one

    def kill(self) -> None:
        """Kill the server, as a power cut would; `start` brings it back."""
        self.stop(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the server and start it on the same port."""
        self.stop()
        self.start()

    def last_words(self) -> str:
        """Return the last error line that the server has logged since it was started, else its last line."""
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(self._logged_before, self.log.stat().st_size - 8192))
            lines = [line.strip() for line in log.read().decode(errors="replace").split("\n") if line.strip()]
            errors = [line for line in lines if re.search(r"FATAL|PANIC|[Ee]rror", line)]
            return (errors or lines or ["its log is empty"])[-1]
        return "it has no log"

    def _run(self, started: "Future[None]") -> None:
        backoff = _FIRST_BACKOFF_S
        try:
            self._launch()
            started.set_result(None)
        except BaseException as error:  # noqa: BLE001 -- handed to the thread that waits in start()
            self._end()
            started.set_exception(error)
            return
        while self._outlived():
            self._stopping.wait(backoff)
            try:
                self._launch()
                backoff = _FIRST_BACKOFF_S
            except Exception as error:  # noqa: BLE001 -- whatever it is, the service must get its server back
                self._end()
                self._report(f"{self.program.name} cannot be restarted yet: {error}")
                backoff = min(2 * backoff, _LONGEST_BACKOFF_S)

    def _outlived(self) -> bool:
        """Wait until the server ends; return True if it was not asked to."""
        process = self._process
        status = process.wait() if process else None
        self._process = None
        if self._stopping.is_set():
            return False
        if process:
            self._report(
                f"{self.program.name} ended ({_in_words(status)}) and is started again: {self.last_words()}"
            )
        return True

    def _launch(self) -> None:
        if self._stopping.is_set():
            return
        _clear_away(self.program)
        command = self.program.prepare()
        if self.log.exists() and self.log.stat().st_size > _KEPT_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.old"))
        with open(self.log, "ab", opener=private) as log:
            self._logged_before = log.tell()
            # A session of its own: Ctrl-C in the terminal is for us, who stop the servers last.
            self._process = process = subprocess.Popen(  # noqa: S603 -- the command is ours
                command,
                cwd=self.program.folder,
                env=_environment(self.program.folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if self._stopping.is_set():  # `stop` was called before there was a process to signal
            process.send_signal(self.program.stop_signal)
        self._await_answer(process)

    def _await_answer(self, process: "subprocess.Popen[bytes]") -> None:
        start, told = time.monotonic(), False
        while not self.program.ready(process.pid) and not self._stopping.is_set():
            waited = time.monotonic() - start
            if process.poll() is not None:
                raise EmbeddedError(f"{self.program.name} did not start: {self.last_words()}")
            if waited > _READY_WITHIN_S:
                raise EmbeddedError(f"{self.program.name} does not answer: see {self.log}")
            if waited > _PATIENT_S and not told:
                self._report(f"{self.program.name} takes its time to start: {self.last_words()}")
                told = True
            time.sleep(_POLL_S)

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _environment(home: Path) -> dict[str, str]:
    """Return our environment without variables that would redirect a server (PGDATA, PGPORT, …)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "HOME": str(home), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def private(path: str, flags: int) -> int:
    """Open a file that only its owner can read, as an `opener`; one that was there before becomes so."""
    opened = os.open(path, flags, 0o600)
    os.fchmod(opened, 0o600)
    return opened


def _in_words(status: int | None) -> str:
    if status is not None and status < 0:
        return signal.Signals(-status).name
    return f"status {status}"


def _clear_away(program: Program, within_s: float = 20.0) -> None:
    """Stop processes that a killed run left in the folder; most are about to end by themselves."""
    start = time.monotonic()
    asked = False
    while left := _left_behind(program):
        waited = time.monotonic() - start
        if waited > within_s:
            raise EmbeddedError(f"process {left[0]} still runs in {program.folder}: stop it first")
        if waited > within_s / 2 or not asked:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if asked else program.stop_signal)
            asked = True
        time.sleep(_POLL_S)


def _left_behind(program: Program) -> list[int]:
    """Return the processes that run this program in this folder, or are just ending there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process has ended, or belongs to another user
            if (process / "cwd").readlink() == program.folder and _runs(process, program.executable):
                found.append(int(process.name))
    return found


def _runs(process: Path, executable: str) -> bool:
    """Return True if the process runs this program, or gives back its memory to end.

    A process that ends loses its program first, then its memory, then its folder. Until its memory
    is free, PostgreSQL finds "a pre-existing shared memory block" and does not start.
    """
    try:
        return (process / "exe").readlink().name.startswith(executable)
    except FileNotFoundError:
        return True
