"""Pure: scenarios assembled from their sheets, which name one another."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from simulators.scenarios.scenario import Scenario, ScenarioError, Story


@dataclass(frozen=True, kw_only=True, slots=True)
class ScenarioSheet:
    """A scenario as its file has it: its story, and the scenarios it builds on, mixes, or begins with."""

    description: str
    story: Story
    builds_on: tuple[str, ...] = ()
    mix: tuple[tuple[str, float], ...] = ()
    first: tuple[str, ...] = ()


def assemble(name: str, sheets: Mapping[str, ScenarioSheet]) -> Scenario:
    """Return a scenario with everything it names resolved.

    Raises a ScenarioError for a name that is unknown, or that leads back to itself.
    """
    sheet = sheets[name]
    first = tuple(story_of(each, sheets, (name,)) for each in sheet.first)
    if not sheet.mix:
        return Scenario(
            name=name, description=sheet.description, mix=((1.0, story_of(name, sheets)),), first=first
        )
    mix = []
    for each, weight in sheet.mix:
        part = _sheet(each, sheets, (name,))
        if part.mix:
            mix += [(weight * w, story_of(inner, sheets, (name, each))) for inner, w in _shares(part)]
        else:
            mix.append((weight, story_of(each, sheets, (name,))))
    return Scenario(name=name, description=sheet.description, mix=tuple(mix), first=first)


def _shares(sheet: ScenarioSheet) -> Iterator[tuple[str, float]]:
    """Yield each name of a mix with its share of the whole."""
    total = sum(weight for _, weight in sheet.mix)
    for name, weight in sheet.mix:
        yield name, weight / total


def story_of(name: str, sheets: Mapping[str, ScenarioSheet], through: Sequence[str] = ()) -> Story:
    """Return the story of a scenario that is not a mix, laid over those that it builds on, in their order."""
    sheet = _sheet(name, sheets, through)
    if sheet.mix:
        raise ScenarioError(
            f"{' -> '.join((*through, name))}: {name} is a mix, but only a single story can be used here"
        )
    story = Story(name=name)
    for base in sheet.builds_on:
        story = story_of(base, sheets, (*through, name)).over(story)
    return sheet.story.over(story)


def _sheet(name: str, sheets: Mapping[str, ScenarioSheet], through: Sequence[str]) -> ScenarioSheet:
    if name in through:
        raise ScenarioError(f"{' -> '.join((*through, name))}: a scenario cannot be part of itself")
    if name not in sheets:
        raise ScenarioError(f"{through[-1]} names {name!r}, but there is no such scenario")
    return sheets[name]
