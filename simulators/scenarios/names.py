"""The names of the scenarios that come along, found without reading them."""

from importlib import resources
from importlib.resources.abc import Traversable

SUFFIX = ".toml"


def library_files() -> dict[str, Traversable]:
    """Return the files by the scenario's name, in the order of the alphabet."""
    folder = resources.files("simulators.scenarios") / "library"
    found = {file.name.removesuffix(SUFFIX): file for file in folder.iterdir() if file.name.endswith(SUFFIX)}
    return dict(sorted(found.items()))
