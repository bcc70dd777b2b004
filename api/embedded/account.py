"""The user that a server runs as: our own; for root, which PostgreSQL refuses, an unprivileged one."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from api.embedded.process import EmbeddedError

_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A server's user: the command prefix that switches to it, and its ids, None if it is our own."""

    become: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None

    def command(self, command: Sequence[str | Path], *, dies_by: str | None = None) -> list[str]:
        """Return the command that runs as this user.

        With `dies_by`, the kernel sends it that signal when the thread that started it ends. `setpriv` comes
        last, because the kernel forgets the signal whenever a process changes its user.
        """
        signal = ("setpriv", "--pdeathsig", dies_by) if dies_by else ()
        return [*self.become, *signal, *map(str, command)]

    def make(self, folder: Path) -> None:
        """Create a folder that only this user can read."""
        folder.mkdir(mode=0o700, exist_ok=True)
        self.give(folder)

    def give(self, path: Path) -> None:
        """Change the owner of a file, or of a folder and everything in it, to this user."""
        if self.owner and path.stat().st_uid != self.owner[0]:
            for each in (path, *path.rglob("*")):
                os.chown(each, *self.owner, follow_symlinks=False)


def account_for(folder: Path, programs: Path) -> Account:
    """Choose the user for a server that works in `folder`, which need not exist, and runs from `programs`."""
    if os.geteuid() != 0:
        return Account()
    entry = next((found for name in _ACCOUNTS if (found := _find(name))), None)
    if entry is None:
        raise EmbeddedError(
            f"root cannot run a database, and the machine has no user {' or '.join(_ACCOUNTS)}"
        )
    needed = (folder if folder.exists() else folder.parent, programs)
    dropped = ("setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups")
    if _reaches(dropped, needed):
        return Account(become=dropped, owner=(entry.pw_uid, entry.pw_gid))
    # Only root can enter a folder of mode 0700, such as /root. In a user namespace root's process has another
    # user id, which is all that PostgreSQL checks; no folder changes.
    mapped = ("unshare", "--user", f"--map-user={entry.pw_uid}", f"--map-group={entry.pw_gid}")
    if _reaches(mapped, needed):
        return Account(become=mapped)
    closed = next(path for path in needed if not _reaches(dropped, [path]))
    raise EmbeddedError(
        f"{closed} is below a private folder, which root's servers, run as {entry.pw_name}, cannot enter: "
        "choose another"
    )


def _find(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _reaches(become: Sequence[str], needed: Sequence[Path]) -> bool:
    if shutil.which(become[0]) is None:
        return False
    script = 'for path; do test -x "$path" || exit 1; done'
    command = [*become, "sh", "-c", script, "sh", *map(str, needed)]
    return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0  # noqa: S603 -- our own words
