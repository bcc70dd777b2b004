"""Load scenarios: those of the library by name, or a file of the user."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from simulators.scenarios.assembly import ScenarioError, ScenarioSheet, assemble
from simulators.scenarios.names import SUFFIX, library_files
from simulators.scenarios.scenario import Scenario
from simulators.scenarios.toml_format import parse_scenario


@cache
def load_library() -> Mapping[str, ScenarioSheet]:
    """Return the scenarios that come along, by name."""
    return {name: parse_scenario(name, file.read_text("utf-8")) for name, file in library_files().items()}


def load_scenario(name: str) -> Scenario:
    """Return a scenario by name, or from a user's own file by its path; a ScenarioError says what is wrong."""
    sheets = load_library()
    if name.endswith(SUFFIX) or "/" in name:
        path = Path(name)
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise ScenarioError(f"{name} is no scenario that can be read: {reason}") from None
        own = path.stem
        return assemble(own, {**sheets, own: parse_scenario(own, text)})
    if name not in sheets:
        raise ScenarioError(
            f"{name!r} is no scenario: choose from {', '.join(sheets)}, or give a file that ends in .toml"
        )
    return assemble(name, sheets)
