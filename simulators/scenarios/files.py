"""The scenarios' files: those that come along, and a user's own; the one place that reads and checks them."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from simulators.loggers.faults import KINDS, Fault, Probe
from simulators.scenarios.names import SUFFIX, files
from simulators.scenarios.scenario import (
    AMOUNTS,
    LANES_BY_NAME,
    LASTS_MIN,
    WHATS,
    Bounds,
    Happening,
    Scenario,
    ScenarioError,
    Sheet,
    Story,
    What,
    assembled,
)
from simulators.world.airports import load_airports
from simulators.world.lanes import Pace, Stage
from simulators.world.shippers import SHIPPERS


def _rising(bounds: Bounds) -> Bounds:
    if bounds[0] > bounds[1]:
        raise ValueError(f"the range goes from {bounds[0]:g} down to {bounds[1]:g}")
    return bounds


def _known(what: object) -> object:
    if what not in WHATS:
        raise ValueError(f"nothing called {what!r} can happen; there are {', '.join(WHATS)}")
    return what


def _positive(bounds: Bounds) -> Bounds:
    if bounds[0] <= 0:
        raise ValueError("numbers above 0 are needed")
    return bounds


Range = Annotated[Bounds, AfterValidator(_rising)]
PositiveRange = Annotated[Range, AfterValidator(_positive)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class HappeningFile(_Strict):
    """One `[[happens]]` table."""

    what: Annotated[What, BeforeValidator(_known)]
    stage: Stage
    which: int = 0
    after_min: Range = (0.0, 0.0)
    lasts_min: PositiveRange | None = None
    amount: Range | None = None
    probe: Probe = "payload"
    share: Annotated[float, Field(ge=0, le=1)] = 0.05
    chance: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _makes_sense(self) -> "HappeningFile":
        if self.what in KINDS:
            lasts_min = self.lasts_min or LASTS_MIN.get(self.what)
            until_s = {} if lasts_min is None else {"until_s": lasts_min[0]}
            for amount in self.amount or (None,):
                Fault(kind=self.what, from_s=0.0, amount=amount, share=self.share, **until_s)  # type: ignore[arg-type]
        elif self.amount is not None and self.what not in AMOUNTS:
            raise ValueError(f"{self.what} takes no amount")
        return self


class ScenarioFile(_Strict):
    """A whole file."""

    says: Annotated[str, Field(pattern=r"^\S.*\.$")]
    builds_on: Annotated[list[str], Field(alias="with")] = []
    mix: dict[str, Annotated[float, Field(gt=0)]] = {}
    first: list[str] = []
    shippers: Annotated[list[str], Field(min_length=1)] | None = None
    lanes: str | Annotated[list[Annotated[list[str], Field(min_length=2)]], Field(min_length=1)] | None = None
    pace: Pace | None = None
    stays_min: dict[Stage, PositiveRange] = {}
    charge: PositiveRange | None = None
    leak: PositiveRange | None = None
    happens: list[HappeningFile] = []

    @model_validator(mode="after")
    def _names_are_known(self) -> "ScenarioFile":
        for shipper in self.shippers or ():
            if shipper not in SHIPPERS:
                raise ValueError(f"there is no shipper {shipper!r}; there are {', '.join(SHIPPERS)}")
        if isinstance(self.lanes, str) and self.lanes not in LANES_BY_NAME:
            raise ValueError(f"lanes: {self.lanes!r} is neither a list nor one of {', '.join(LANES_BY_NAME)}")
        for lane in self.lanes if isinstance(self.lanes, list) else ():
            for code in lane:
                if code not in load_airports():
                    raise ValueError(f"lanes: there is no airport {code!r}")
        if self.charge is not None and self.charge[1] > 1:
            raise ValueError("charge: the most is 1, a full one")
        story = self.shippers or self.lanes or self.pace or self.stays_min or self.charge or self.leak
        if self.mix and (self.builds_on or self.happens or story):
            raise ValueError("a mix only says which scenarios it mixes; what happens is theirs to say")
        return self

    def sheet(self, name: str) -> Sheet:
        return Sheet(
            says=self.says,
            builds_on=tuple(self.builds_on),
            mix=tuple(self.mix.items()),
            first=tuple(self.first),
            story=Story(
                name=name,
                shippers=None if self.shippers is None else tuple(self.shippers),
                lanes=_lanes(self.lanes),
                pace=self.pace,
                stays_min=tuple(self.stays_min.items()),
                charge=self.charge,
                leak=self.leak,
                happenings=tuple(Happening(**each.model_dump()) for each in self.happens),
            ),
        )


def _lanes(said: str | list[list[str]] | None) -> tuple[tuple[str, ...], ...] | None:
    if isinstance(said, str):
        return LANES_BY_NAME[said]
    return None if said is None else tuple(tuple(lane) for lane in said)


def parse(name: str, text: str) -> Sheet:
    """Read a scenario's text; what is wrong with it raises a ScenarioError that names place and reason."""
    try:
        return ScenarioFile.model_validate(tomllib.loads(text)).sheet(name)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"scenario {name}: this is no TOML: {error}") from None
    except ValidationError as error:
        raise ScenarioError(f"scenario {name}: {'; '.join(_told(each) for each in error.errors())}") from None


def _told(error: Any) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])
    reason = error["msg"].removeprefix("Value error, ")
    return f"{place.lstrip('.')}: {reason}" if place else reason


@cache
def library() -> Mapping[str, Sheet]:
    """Return the scenarios that come along, by name."""
    return {name: parse(name, file.read_text("utf-8")) for name, file in files().items()}


def scenario(name: str) -> Scenario:
    """Return a scenario by name, or from a user's own file by its path; a ScenarioError says what is wrong."""
    sheets = library()
    if name.endswith(SUFFIX) or "/" in name:
        path = Path(name)
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise ScenarioError(f"{name} is no scenario that can be read: {reason}") from None
        own = path.stem
        return assembled(own, {**sheets, own: parse(own, text)})
    if name not in sheets:
        raise ScenarioError(
            f"{name!r} is no scenario: choose from {', '.join(sheets)}, or give a file that ends in .toml"
        )
    return assembled(name, sheets)
