"""The data folder of embedded servers: locked by one process at a time, with its secrets and ports kept."""

import contextlib
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from api.embedded.process import EmbeddedError


def _secret() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """A data folder's passwords and ports: kept in `secrets.json`, which only its owner can read."""

    database_password: str = field(default_factory=_secret)
    """Of the superuser, who only administers."""
    owner_password: str = field(default_factory=_secret)
    """Of who owns the tables."""
    application_password: str = field(default_factory=_secret)
    """Of who the service is in the database."""
    broker_password: str = field(default_factory=_secret)
    database_port: int = 0
    broker_port: int = 0
    """Where loggers reach the broker."""
    service_port: int = 0
    """Where the service itself reaches it; 0 for a folder of before there was one."""


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[Path]:
    """Lock the folder for this process, creating it if needed; the lock ends with the process in any case."""
    folder = folder.resolve()
    with usable(folder):
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(mode())
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(lock, folder)
        yield folder
    finally:
        os.close(lock)


def mode() -> int:
    """Return the mode of a new data folder: its owner's alone.

    Root's servers run as another user, and must get in; what is inside has modes of its own.
    """
    return 0o711 if os.geteuid() == 0 else 0o700


@contextlib.contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Turn an OSError into an EmbeddedError with one line about the folder."""
    try:
        yield
    except OSError as error:
        raise EmbeddedError(f"the data folder {folder} cannot be used: {error.strerror or error}") from error


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 20, 0).decode().strip() or "(unknown)"
        raise EmbeddedError(
            f"the data folder {folder} is in use by process {holder}: stop that one, or choose another folder"
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def recall(folder: Path) -> Secrets:
    """Read the folder's secrets; create them on first use."""
    kept = folder / "secrets.json"
    try:
        return Secrets(**json.loads(kept.read_text()))
    except FileNotFoundError:
        made = Secrets()
        remember(folder, made)
        return made
    except (ValueError, TypeError) as error:
        raise EmbeddedError(f"{kept} cannot be read as the secrets of a data folder: {error}") from error


def remember(folder: Path, made: Secrets) -> None:
    """Write the secrets atomically."""
    write_private(folder / "secrets.json", json.dumps(asdict(made), indent=1))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, atomically."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def with_ports(kept: Secrets) -> tuple[Secrets, tuple[str, ...]]:
    """Keep the last ports if they are free, else choose others; return also a line for each that changed.

    Nobody but this process knows the service's port of the broker, so no line tells of it.
    """
    database, broker = _port(kept.database_port), _port(kept.broker_port)
    service = _port(kept.service_port)
    moved = [
        f"port {before} is taken: the {what} now answers on {now}"
        for what, before, now in (
            ("database", kept.database_port, database),
            ("broker", kept.broker_port, broker),
        )
        if before not in (0, now)
    ]
    return replace(kept, database_port=database, broker_port=broker, service_port=service), tuple(moved)


def _port(before: int) -> int:
    return before if before and _is_free(before) else _free_port()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
