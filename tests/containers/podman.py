"""podman and buildah as the tests call them, and base images of Debian's packages, for machines without a registry."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import NoReturn

import pytest

from api.embedded.apt import AptError, _mirrors, _targets

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DEBIAN = "dewarwatch-test/debian"
BASES = {name: f"localhost/dewarwatch-test/{name}" for name in ("python", "database", "broker", "proxy")}
NEEDED = ("podman", "buildah", "runc", "iptables", "debootstrap", "git")
# Here a machine may have its own certificate, and a mirror of the package index.
OF_THE_MACHINE = [path for path in (Path("/etc/ssl/certs"), Path("/etc/pip.conf")) if path.exists()]


ASKED_FOR = os.environ.get("DEWARWATCH_TEST_CONTAINERS") == "real"
"""As `make image-test` does."""


def missing(why: str) -> NoReturn:
    """Skip where containers cannot run; fail where they were asked for by name."""
    if ASKED_FOR:
        pytest.fail(f"containers cannot be tested here: {why}")
    pytest.skip(f"containers cannot be tested here: {why}")


def settle(folder: Path) -> None:
    """Skip unless containers run here; has podman use runc, and limits that any machine may set."""
    if os.geteuid() != 0:
        missing("it takes root")
    lacking = [program for program in NEEDED if shutil.which(program) is None]
    if lacking:
        missing(f"there is no {' and no '.join(lacking)}")
    configuration = folder / "containers.conf"
    configuration.write_text(
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n[engine]\nruntime = "runc"\n'
        '[network]\nnetwork_backend = "netavark"\n'
    )
    os.environ["CONTAINERS_CONF"] = str(configuration)


def run(*command: str | Path, within_s: float = 600, **more: str) -> str:
    """Run a program to its end, and give what it printed; whatever it says goes into the failure."""
    done = subprocess.run(
        list(map(str, command)), env={**os.environ, **more}, capture_output=True, text=True, timeout=within_s, check=False
    )  # fmt: skip
    assert done.returncode == 0, (
        f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    )
    return done.stdout.strip()


def exists(image: str) -> bool:
    return subprocess.run(["podman", "image", "exists", image], check=False).returncode == 0


def build(context: Path, file: Path, image: str, *arguments: str, trusting: bool = False) -> None:
    """Build an image. `trusting` shows the build this machine's certificates: not where packages bring some of their own."""
    mounts = [f"--volume={path}:{path}:ro" for path in OF_THE_MACHINE] if trusting else []
    run(
        "buildah", "build", "--isolation", "chroot", "--network", "host", "--format", "docker", "--layers",
        "--pull=never", *mounts, *arguments, "-f", file, "-t", image, context, within_s=1200,
    )  # fmt: skip


def make_bases(folder: Path) -> None:
    """Make what is not there yet of the base images; they stay, for the next run."""
    if not exists(DEBIAN):
        try:
            mirror = _mirrors(_targets())[0][0]
        except (AptError, IndexError):
            missing("no Debian mirror among the machine's apt sources: run apt-get update")
        root = folder / "debian"
        packages = "python3,python3-venv,ca-certificates"
        run(
            "debootstrap", "--variant=minbase", f"--include={packages}", "trixie", root, mirror, within_s=1200
        )
        archive = folder / "debian.tar"
        run("tar", "-C", root, "-cf", archive, ".", within_s=300)
        run("podman", "import", archive, f"localhost/{DEBIAN}:latest")
        shutil.rmtree(root)
        archive.unlink()
    for name, image in BASES.items():
        if not exists(image):
            build(HERE / "images", HERE / "images" / name, image)


def eventually_healthy(container: str, within_s: float = 90) -> None:
    """Wait until a container's health check succeeds; without systemd nobody but us runs it."""
    deadline = time.monotonic() + within_s
    while subprocess.run(
        ["podman", "healthcheck", "run", container], capture_output=True, check=False
    ).returncode:
        if time.monotonic() > deadline:
            raise AssertionError(f"{container} is not healthy:\n{logs(container)}")
        time.sleep(0.5)


def logs(container: str) -> str:
    done = subprocess.run(["podman", "logs", container], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr)[-6000:]
