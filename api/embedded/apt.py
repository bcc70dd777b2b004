"""Fetches Debian packages from the machine's own mirror and unpacks them below a folder."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_STATE = """\
Dir::State "{folder}/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{folder}/cache";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
Acquire::Retries "3";
Acquire::Languages "none";
"""
"""A mirror that does not answer is an error: else what cannot be had of it reads as a package that there is not."""
_SOURCES = """\
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
"""
_KEYRINGS = ("debian-archive-keyring.gpg", "debian-archive-keyring.pgp")


class AptError(Exception):
    """A package cannot be fetched or built; the text says why."""


class Apt:
    """apt with its state in a folder of ours: needs no root, and uses the machine's proxies and keys."""

    def __init__(self, folder: Path, *, sources_of: str | None = None) -> None:
        """Fetch the package lists; `sources_of` names a Debian release to list source packages of."""
        for needed in ("state/lists/partial", "cache/archives/partial"):
            (folder / needed).mkdir(parents=True)
        self._folder = folder
        mirrors = _mirrors(_targets()) or self._mirrors_not_listed()
        keys = (path for name in _KEYRINGS if (path := Path("/usr/share/keyrings", name)).exists())
        signed = next((f" [signed-by={path}]" for path in keys), "")
        lines = [f"deb{signed} {address} {release} main" for address, release in mirrors]
        if sources_of:
            lines.append(f"deb-src{signed} {mirrors[0][0]} {sources_of} main")
        (folder / "sources.list").write_text("\n".join(lines) + "\n")
        (folder / "apt.conf").write_text((_STATE + _SOURCES).format(folder=folder))
        self._run("update")

    def _mirrors_not_listed(self) -> list[tuple[str, str]]:
        """Find the mirrors of a machine without package lists, as images have none: apt names only what it has fetched.

        Another source that does not answer does no harm, as long as a mirror does.
        """
        (self._folder / "apt.conf").write_text(_STATE.format(folder=self._folder))
        failed: AptError | None = None
        try:
            self._run("update")
        except AptError as error:
            failed = error
        if found := _mirrors(self._run("indextargets", *_OF_TARGETS)):
            return found
        raise failed or AptError("no Debian mirror among the machine's apt sources")

    def missing(self, *packages: str) -> list[str]:
        """Return the packages that would have to be installed for these, themselves included."""
        plan = self._run("--simulate", "install", *packages)
        return re.findall(r"^Inst (\S+) \(", plan, re.MULTILINE)  # an upgrade has the old version in between

    def unpack(self, packages: Sequence[str], into: Path) -> None:
        """Unpack exactly these packages, whether installed or not."""
        fetched = self._folder / "fetched"
        fetched.mkdir(exist_ok=True)
        self._run("download", *packages, within=fetched)
        for package in fetched.glob("*.deb"):
            run("dpkg-deb", "--extract", str(package), str(into))
            package.unlink()

    def source(self, package: str, into: Path, environment: dict[str, str]) -> Path:
        """Unpack a source package, patches applied, by the tools of `environment`; return its folder."""
        self._run("source", package, within=into, environment=environment)
        return next(path for path in into.glob(f"{package}-*") if path.is_dir())

    def _run(
        self, *arguments: str, within: Path | None = None, environment: dict[str, str] | None = None
    ) -> str:
        ours = {"APT_CONFIG": str(self._folder / "apt.conf"), "DEBIAN_FRONTEND": "noninteractive"}
        return run(
            "apt-get", "-qq", *arguments, within=within, environment={**(environment or os.environ), **ours}
        )


def run(*command: str, within: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """Run a program and return its output; raise AptError with its error line if it fails."""
    try:
        ran = subprocess.run(  # noqa: S603 -- our own words
            command,
            cwd=within,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise AptError(f"{command[0]}: {error.strerror}") from error
    if ran.returncode != 0:
        said = [line for line in (ran.stderr or ran.stdout).split("\n") if line.strip()] or [
            f"status {ran.returncode}"
        ]
        errors = [line for line in said if re.match(r"E:|.*error", line, re.IGNORECASE)] or said[-1:]
        raise AptError(f"{command[0]}: {errors[0].strip()}")
    return ran.stdout


def debian_codename() -> str:
    """Return the codename of this machine's release, such as bookworm; raise AptError unless it is Debian."""
    release: dict[str, str] = dict(
        re.findall(r'^(\w+)="?([^"\n]*)', Path("/etc/os-release").read_text(), re.MULTILINE)
    )
    if release.get("ID") != "debian" or not release.get("VERSION_CODENAME"):
        raise AptError("not a Debian machine")
    return release["VERSION_CODENAME"]


_OF_TARGETS = ("--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")


def _targets() -> str:
    """Return what package lists the machine has, a line for each: address, release and component."""
    return run("apt-get", "indextargets", *_OF_TARGETS)


def _mirrors(targets: str) -> list[tuple[str, str]]:
    """Return address and release of each of the Debian mirrors among them, the plain release first; none without that."""
    ours = re.compile(rf"(\S+) ((?:{debian_codename()}|stable|oldstable)(?:[-/](?:updates|security))?) main")
    found = {match.groups() for line in targets.split("\n") if (match := ours.fullmatch(line))}
    if not any("-" not in release for _, release in found):
        return []
    return sorted(((address, release) for address, release in found), key=lambda one: (len(one[1]), one))


def main() -> int:
    """Unpack one package: `python -m api.embedded.apt PACKAGE DIR`."""
    package, into = sys.argv[1:]
    try:
        with tempfile.TemporaryDirectory() as state:
            Apt(Path(state)).unpack([package], Path(into))
    except AptError as error:
        print(f"apt: {error}", file=sys.stderr)  # noqa: T201 -- a command's own words
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
