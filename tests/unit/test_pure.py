"""A module whose docstring begins with "Pure" does no I/O and reads no clock, chance or environment: not by what it imports either."""

import ast
from functools import cache
from pathlib import Path
from typing import Final

import grimp
import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("telemetry", "alerts", "api", "migrations", "simulators")
FORBIDDEN: Final = frozenset(
    {
        *(
            "asyncio",
            "asyncpg",
            "httpx",
            "aiosmtplib",
            "io",
            "logging",
            "os",
            "pathlib",
            "paho",
            "prometheus_client",
        ),
        *("secrets", "shutil", "socket", "sqlalchemy", "ssl", "structlog", "subprocess", "tempfile"),
        *("threading", "time", "urllib.request", "uuid", "uvicorn", "fastapi", "starlette"),
    }
)


SEEDED: Final = "Random"
"""All that may be imported of `random`: a generator that somebody has seeded."""


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)


@cache
def sources() -> dict[str, ast.Module]:
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {_name(path): ast.parse(path.read_text()) for path in paths}


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


PURE: Final = [name for name, tree in sources().items() if (ast.get_docstring(tree) or "").startswith("Pure")]


def draws_unseeded(tree: ast.Module) -> bool:
    """Whether a module can draw from the generator that all of the process shares, which nobody has seeded."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        alias.name for node in imports if getattr(node, "module", None) == "random" for alias in node.names
    }
    whole = any(
        alias.name == "random" for node in imports if isinstance(node, ast.Import) for alias in node.names
    )
    return whole or bool(names - {SEEDED})


def test_there_are_pure_modules_in_every_package_that_has_a_core() -> None:
    for package in ("telemetry", "alerts", "api", "simulators"):
        assert sum(name.startswith(f"{package}.") for name in PURE) > 1, package


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_reaches_nothing_that_is_not(module: str) -> None:
    reached = graph().find_upstream_modules(module) & FORBIDDEN
    ways = [graph().find_shortest_chain(module, name) for name in sorted(reached)]
    assert not ways, "\n".join(" -> ".join(way) for way in ways if way)


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_draws_only_from_what_was_seeded(module: str) -> None:
    reached = {module} | (graph().find_upstream_modules(module) & sources().keys())
    assert not [name for name in sorted(reached) if draws_unseeded(sources()[name])]
