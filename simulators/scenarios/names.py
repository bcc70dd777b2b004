"""The names of the scenarios in the library, found without reading them.

The command's help needs nothing more.
"""

from importlib import resources
from importlib.resources.abc import Traversable

SUFFIX = ".toml"


def library_files() -> dict[str, Traversable]:
    """Return the files of the library by scenario name, in alphabetical order."""
    folder = resources.files("simulators.scenarios") / "library"
    found = {file.name.removesuffix(SUFFIX): file for file in folder.iterdir() if file.name.endswith(SUFFIX)}
    return dict(sorted(found.items()))
