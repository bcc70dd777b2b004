"""Loads scenarios by name from the library, or from a user's own file."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from simulators.scenarios.assembly import ScenarioSheet, assemble
from simulators.scenarios.names import SUFFIX, library_files
from simulators.scenarios.scenario import Scenario, ScenarioError
from simulators.scenarios.toml_format import parse_scenario


@cache
def load_library() -> Mapping[str, ScenarioSheet]:
    """Return the sheets of the library, by name."""
    return {name: parse_scenario(name, file.read_text("utf-8")) for name, file in library_files().items()}


def load_scenario(name: str) -> Scenario:
    """Return a scenario by its name in the library, or from a file by its path.

    Raises a ScenarioError, in words for a person.
    """
    sheets = load_library()
    if name.endswith(SUFFIX) or "/" in name:
        path = Path(name)
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ScenarioError(f"the scenario {name} cannot be read: {reason}") from None
        own = path.stem
        return assemble(own, {**sheets, own: parse_scenario(own, text)})
    if name not in sheets:
        raise ScenarioError(
            f"there is no scenario {name!r}: choose from {', '.join(sheets)}, "
            "or name a file that ends in .toml"
        )
    return assemble(name, sheets)
