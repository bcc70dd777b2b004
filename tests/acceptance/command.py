"""Runs the real `dewarwatch` command in a session of its own, watches it, and looks for what it leaves behind."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from api.embedded.folder import recall

DEWARWATCH = Path(sys.executable).with_name("dewarwatch")
ADMIN_KEY = "an-admin-key-of-at-least-32-characters"
T = TypeVar("T")


def eventually(condition: Callable[[], T], within_s: float, what: str | Callable[[], object]) -> T:
    """Gives the first true value of a condition; other processes cannot tell us, so it is asked until the deadline."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.02)
    return found


def environment(**settings: str) -> dict[str, str]:
    """Ours, without any setting of the service but those given; HTTP on a free port."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEWARWATCH_")}
    if servers := os.environ.get("DEWARWATCH_SERVERS"):
        kept["DEWARWATCH_SERVERS"] = servers
    settings = {"HTTP_PORT": "0", "ADMIN_KEY": ADMIN_KEY, **settings}
    return {**kept, **{f"DEWARWATCH_{name}": value for name, value in settings.items() if value}}


@dataclass
class Command:
    """One run of the command; what it says goes to files, so that it never waits for us to read."""

    process: "subprocess.Popen[bytes]"
    said: Path
    complained: Path
    env: dict[str, str] = field(repr=False)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def out(self) -> str:
        return self.said.read_text()

    @property
    def err(self) -> str:
        return self.complained.read_text()

    @property
    def log(self) -> str:
        """The last that it says of itself, less the requests."""
        return "\n".join([line for line in self.err.splitlines() if '"event": "request"' not in line][-30:])

    def ended(self, within_s: float = 15.0) -> int:
        """Gives its exit status, for which it gets so long."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within_s:g} s\n{self.out}\n{self.log}") from None

    def stopped(self, by: signal.Signals = signal.SIGTERM, within_s: float = 15.0) -> int:
        """Tells it to stop, and gives its exit status."""
        self.process.send_signal(by)
        return self.ended(within_s)

    def interrupted(self) -> int:
        """Does what Ctrl-C does at a terminal: tells its whole process group; gives its exit status."""
        os.killpg(self.pid, signal.SIGINT)
        return self.ended()

    def killed(self) -> None:
        """Ends it as a power cut would: the command alone, not what it started."""
        self.process.kill()
        self.process.wait()

    def printed(self, pattern: str, within_s: float = 30.0) -> re.Match[str]:
        """Waits for a pattern in what it prints, and gives the match."""

        def found() -> re.Match[str] | None:
            match = re.search(pattern, self.out, re.MULTILINE)
            if match is None and self.process.poll() is not None:
                raise AssertionError(f"ended without {pattern!r}\n{self.out}\n{self.log}")
            return match

        return eventually(found, within_s, lambda: f"{pattern!r} in\n{self.out}\n{self.log}")

    @property
    def url(self) -> str:
        """Where it serves HTTP, as it says in its log."""
        found = re.search(r'"url": ?"(http:[^"]+)"', self.err)
        assert found, self.err
        return found[1]

    def ready(self, within_s: float = 30.0) -> "Command":
        """Waits until it says that it is ready."""
        eventually(self.is_ready, within_s, lambda: f"ready\n{self.out}\n{self.log}")
        return self

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode}\n{self.out}\n{self.log}")
        with contextlib.suppress(AssertionError, httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == 200
        return False

    @contextlib.contextmanager
    def client(self, key: str = ADMIN_KEY) -> Iterator[httpx.Client]:
        """A caller of its HTTP interface; the admin unless another key is given."""
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=15, trust_env=False) as client:
            yield client


class Commands:
    """Starts commands in one folder, and makes sure that none outlives the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[Command] = []

    def start(
        self,
        *arguments: str | Path,
        terminal: int | None = None,
        descriptors: str | None = None,
        **settings: str,
    ) -> Command:
        """Starts a command; with a terminal that one is its own, and gets all that it prints.

        `descriptors` is the soft and the hard limit of open files, such as 256:4096.
        """
        number = len(self._started)
        said, complained = self.folder / f"{number}.out", self.folder / f"{number}.err"
        env = environment(**settings)
        with said.open("wb") as out, complained.open("wb") as err:
            process = subprocess.Popen(
                [
                    *(() if terminal is None else ("setsid", "--ctty")),
                    *("setpriv", "--pdeathsig", "KILL"),  # should the tests themselves be killed
                    *(() if descriptors is None else ("prlimit", f"--nofile={descriptors}")),
                    DEWARWATCH,
                    *arguments,
                ],
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=out if terminal is None else terminal,
                stderr=err if terminal is None else terminal,
                start_new_session=terminal is None,
            )
        self._started.append(Command(process, said, complained, env))
        return self._started[-1]

    def run(self, *arguments: str | Path, within_s: float = 30.0, **settings: str) -> tuple[int, str, str]:
        """Gives exit status, output and errors of a command that ends by itself."""
        command = self.start(*arguments, **settings)
        status = command.ended(within_s)
        return status, command.out, command.err

    def close(self) -> None:
        """Stops what still runs; a command that does not listen to that is a failure."""
        try:
            for command in self._started:
                if command.process.poll() is None:
                    command.stopped()
        finally:
            for command in self._started:
                command.killed()


def processes_of(folder: Path, sessions: Sequence[int] = ()) -> dict[int, str]:
    """Finds whatever runs in or names a folder, or belongs to one of the sessions: pids and command lines."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            inside = (process / "cwd").readlink().is_relative_to(folder) or str(folder) in words
            session = int((process / "stat").read_text().rpartition(")")[2].split()[3])
            if words and (inside or session in sessions) and int(process.name) != os.getpid():
                found[int(process.name)] = words
    return found


def items(client: httpx.Client, path: str, **params: object) -> Iterator[dict[str, Any]]:
    """Gives all items of a list, page by page."""
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(path, params={"limit": 500, **params, **({"cursor": cursor} if cursor else {})})
        assert page.is_success, page.text
        yield from page.json()["items"]
        cursor = page.json()["next_cursor"]


def embedded_urls(data: Path) -> tuple[str, str]:
    """Where database and broker of a data folder answer, with the service's own accounts."""
    kept = recall(data)
    database = f"{kept.database_password}@127.0.0.1:{kept.database_port}"
    broker = f"{kept.broker_password}@127.0.0.1:{kept.service_port}"
    return f"postgresql://dewarwatch:{database}/dewarwatch", f"mqtt://dewarwatch:{broker}"


def one_line(err: str) -> str:
    """The one line that a failed command may say, without its name."""
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    assert lines[0].startswith("dewarwatch: "), err
    return lines[0].removeprefix("dewarwatch: ")
