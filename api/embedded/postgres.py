"""The embedded database: a local PostgreSQL cluster in a folder, created once, safe against power cuts."""

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from api.embedded.account import account_for
from api.embedded.find import PostgresPrograms, find_postgres
from api.embedded.folder import write_private
from api.embedded.process import EmbeddedError

USER = "dewarwatch"
OWNER = "dewarwatch_owner"
APPLICATION = "dewarwatch_app"
_NEEDS_TIMESCALEDB = "dewarwatch.timescaledb"  # a marker file in the cluster: its tables may be hypertables
_MADE_WITH = (
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--data-checksums",
    "--no-instructions",
)
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    # PUBACK and the ack topic promise durability, which rests on these three; no file can override them here.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
}


class Postgres:
    """A cluster below `folder`, with one database and one superuser, both named dewarwatch.

    The users that own the tables and that the service is are made by whoever migrates.
    """

    name = "PostgreSQL"
    executable = "postgres"
    stop_signal = signal.SIGINT  # fast shutdown: clients are disconnected, everything is written

    def __init__(
        self, folder: Path, *, password: str, port: int, installed: Sequence[PostgresPrograms] | None = None
    ) -> None:
        """Choose among the `installed` versions; by default, all that the machine has."""
        self.folder = folder
        self.programs = choose(folder, find_postgres() if installed is None else installed)
        self._account = account_for(folder, self.programs.bin)
        self._password = password
        self._port = port

    @property
    def url(self) -> str:
        """The superuser's address."""
        return self.url_of(USER, self._password)

    def url_of(self, user: str, password: str) -> str:
        """Return the address of another of its users."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self._port}/{USER}"

    def prepare(self) -> Sequence[str]:
        if not self.folder.exists():
            self._make(self.folder.with_name(self.folder.name + ".new"))
        self._account.give(self.folder)
        self._forget_foreign_pid()
        settings = {**_SETTINGS, "port": str(self._port)}
        if self.programs.timescaledb:
            settings |= {"shared_preload_libraries": "timescaledb", "timescaledb.telemetry_level": "off"}
            (self.folder / _NEEDS_TIMESCALEDB).touch()
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return self._account.command(
            self.programs.command("postgres", "-D", self.folder, *options), dies_by="INT"
        )

    def ready(self, pid: int) -> bool:
        """Return whether the server accepts connections: line 8 of the pid file says so, as for `pg_ctl`."""
        with contextlib.suppress(OSError, IndexError):
            lines = (self.folder / "postmaster.pid").read_text().split("\n")
            return lines[0] == str(pid) and lines[7].strip() == "ready"
        return False

    def _forget_foreign_pid(self) -> None:
        """Remove a stale pid file with another process's number: PostgreSQL would take that for a server."""
        pid_file = self.folder / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError):
            if Path("/proc", pid_file.read_text().split("\n")[0]).exists():  # none of ours is left by now
                pid_file.unlink()

    def _make(self, new: Path) -> None:
        """Create the cluster under another name, then rename it: half a cluster is never taken for one."""
        shutil.rmtree(new, ignore_errors=True)
        self._account.make(new)
        password = new.with_suffix(".password")
        write_private(password, self._password)
        self._account.give(password)
        try:
            self._run("initdb", f"--pgdata={new}", f"--username={USER}", f"--pwfile={password}", *_MADE_WITH)
        finally:
            password.unlink()
        self._run("postgres", "--single", "-D", new, "postgres", stdin=f"CREATE DATABASE {USER};\n")
        new.rename(self.folder)

    def _run(self, program: str, *arguments: object, stdin: str = "") -> None:
        command = self._account.command(self.programs.command(program, *arguments), dies_by="KILL")
        ran = subprocess.run(command, input=stdin, cwd="/", capture_output=True, text=True, check=False)  # noqa: S603 -- our own words
        if ran.returncode != 0:
            raise EmbeddedError(f"{program} failed: {_reason(ran.stderr or ran.stdout)}")


def choose(cluster: Path, installed: Sequence[PostgresPrograms]) -> PostgresPrograms:
    """Pick the best installation that can run the cluster, or create it if there is none yet."""
    made_by = cluster / "PG_VERSION"
    major = int(made_by.read_text()) if made_by.exists() else None
    needs_extension = (cluster / _NEEDS_TIMESCALEDB).exists()
    for one in installed:
        if major in (None, one.major) and (one.timescaledb or not needs_extension):
            return one
    if major is None:
        raise EmbeddedError("there is no PostgreSQL server on this machine: run `make setup`")
    wanted = f"PostgreSQL {major}{' with TimescaleDB' if needs_extension else ''}"
    raise EmbeddedError(f"{cluster} was made by {wanted}, which this machine no longer has: run `make setup`")


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.split("\n") if line.strip()]
    errors = [line for line in lines if "error:" in line or "FATAL" in line or "could not" in line]
    return (errors or lines or ["it gave no reason"])[0]
