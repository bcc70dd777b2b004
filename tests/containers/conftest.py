"""The image, built from the checkout, and compose as an operator starts it."""

import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.containers.podman import (
    ASKED_FOR,
    BASES,
    ROOT,
    build,
    eventually_healthy,
    exists,
    logs,
    make_bases,
    missing,
    run,
    settle,
)

IMAGE = "localhost/dewarwatch-test/service"


@pytest.fixture(scope="session")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder, where containers run on this machine."""
    folder = tmp_path_factory.mktemp("containers")
    settle(folder)
    return folder


@pytest.fixture(scope="session")
def image(containers: Path) -> str:
    """The image of this checkout: of what git knows, as a clone has it."""
    make_bases(containers)
    return built(containers)


@pytest.fixture(scope="session")
def image_on_bases_that_are_there(containers: Path) -> str:
    """The same, where an earlier run has left the base images: their making takes minutes."""
    if ASKED_FOR:
        make_bases(containers)
    elif not all(map(exists, BASES.values())):
        missing("the base images are not made yet: make image-test")
    return built(containers)


def built(folder: Path) -> str:
    source = folder / "source"
    if not source.exists():
        source.mkdir()
        files = run("git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
        for name in files:
            if (ROOT / name).is_file():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, source / name)
    build(source, source / "Dockerfile", IMAGE, f"--build-arg=PYTHON_IMAGE={BASES['python']}", trusting=True)
    return IMAGE


@dataclass
class Compose:
    """`deploy/compose.yaml` with an `.env` of its own, started in the order that its conditions ask for."""

    folder: Path
    files: tuple[str, ...]
    name: str = "dewarwatch"

    def command(self, *words: str) -> str:
        named = [part for file in self.files for part in ("-f", str(self.folder / file))]
        program = Path(shutil.which("podman-compose") or ROOT / ".venv" / "bin" / "podman-compose")
        return run(program, *named, *words, within_s=300)

    def container(self, service: str) -> str:
        return f"{self.name}_{service}_1"

    def start(self, *services: str, files: tuple[str, ...] | None = None) -> None:
        # podman 4.3 starts nothing that depends on what has ended: so one by one, and in order.
        for service in services:
            self.command("up", "--detach", "--no-build", "--no-deps", service)
            if service in {"migrate", "broker-users"}:
                status = run("podman", "wait", self.container(service))
                assert status == "0", logs(self.container(service))
            else:
                eventually_healthy(self.container(service))

    def again(self, service: str) -> None:
        """Has a service made anew, with what the files say by now."""
        run("podman", "rm", "--force", "--time", "30", self.container(service))
        self.start(service)

    def execute(self, service: str, *words: str, user: str | None = None) -> str:
        as_user = () if user is None else ("--user", user)
        return run("podman", "exec", *as_user, self.container(service), *words)

    def down(self) -> None:
        self.command("down", "--timeout", "30")


@pytest.fixture
def compose(image: str, containers: Path) -> Iterator[Compose]:
    """A copy of `deploy/`, filled in as its guide says; whatever it started is gone in the end, volumes included."""
    folder = containers / f"deploy-{secrets.token_hex(4)}"
    shutil.copytree(ROOT / "deploy", folder)
    words = {
        name: secrets.token_urlsafe(32)
        for name in (
            "POSTGRES_PASSWORD",
            "DATABASE_OWNER_PASSWORD",
            "DATABASE_PASSWORD",
            "MQTT_PASSWORD",
            "ADMIN_KEY",
        )
    }
    words |= {
        "DEWARWATCH_IMAGE": image, "DATABASE_IMAGE": BASES["database"], "BROKER_IMAGE": BASES["broker"],
        "PROXY_IMAGE": BASES["proxy"], "BROKER_FILES": "1024",
        "HTTP_LISTEN": f"127.0.0.1:{free_port()}", "MQTT_LISTEN": f"127.0.0.1:{free_port()}",
        "HTTPS_LISTEN": f"127.0.0.1:{free_port()}", "MQTTS_LISTEN": f"127.0.0.1:{free_port()}",
    }  # fmt: skip
    example = (folder / "example.env").read_text()
    kept = [line for line in example.splitlines() if line.split("=")[0] not in words]
    (folder / ".env").write_text(
        "\n".join([*kept, *(f"{name}={value}" for name, value in words.items()), ""])
    )
    (folder / ".env").chmod(0o600)
    # A machine that is a container itself may set no limits of its own, and podman sets all where one is given.
    text = (folder / "compose.yaml").read_text()
    (folder / "compose.yaml").write_text(re.sub(r"\n    ulimits:\n      nofile: [^\n]*", "", text))
    started = Compose(folder, ("compose.yaml",))
    try:
        yield started
    finally:
        listed = run("podman", "ps", "--all", "--quiet", "--filter", f"name={started.name}_")
        if listed:
            run("podman", "rm", "--force", "--time", "5", *listed.split())
        for volume in run("podman", "volume", "ls", "--quiet").split():
            if volume.startswith(f"{started.name}_"):
                run("podman", "volume", "rm", "--force", volume)
        subprocess.run(
            ["podman", "network", "rm", "--force", f"{started.name}_default"],
            capture_output=True,
            check=False,
        )
