"""The TOML format of scenarios: what a file may say, and the errors when it says something else."""

import math
import tomllib
from collections.abc import Mapping
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

from simulators.loggers.faults import LoggerFault, ProbeName
from simulators.scenarios.assembly import ScenarioSheet
from simulators.scenarios.happenings import (
    HAPPENING_KINDS,
    LASTS_MIN,
    TROUBLE_AMOUNTS,
    Bounds,
    HappeningKind,
    StoryHappening,
    is_fault,
)
from simulators.scenarios.scenario import ScenarioError, Story
from simulators.world.airports import load_airports
from simulators.world.lanes import LANES, SHORT_LANES, TravelPace
from simulators.world.legs import Stage
from simulators.world.shippers import SHIPPERS

LANES_BY_NAME: Mapping[str, tuple[tuple[str, ...], ...]] = {"all": LANES, "short": SHORT_LANES}


def _rising(bounds: Bounds) -> Bounds:
    if bounds[0] > bounds[1]:
        raise ValueError(f"the range goes from {bounds[0]:g} down to {bounds[1]:g}")
    return bounds


def _known(what: object) -> object:
    if what not in HAPPENING_KINDS:
        raise ValueError(
            f"{what!r} is not something that can happen; choose from {', '.join(HAPPENING_KINDS)}"
        )
    return what


def _positive(bounds: Bounds) -> Bounds:
    if bounds[0] <= 0:
        raise ValueError("the numbers must be above 0")
    return bounds


RisingBounds = Annotated[Bounds, AfterValidator(_rising)]
PositiveBounds = Annotated[RisingBounds, AfterValidator(_positive)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class HappeningTable(_Strict):
    """One `[[happens]]` table."""

    what: Annotated[HappeningKind, BeforeValidator(_known)]
    stage: Stage
    which: int = 0
    after_min: RisingBounds = (0.0, 0.0)
    lasts_min: PositiveBounds | None = None
    amount: RisingBounds | None = None
    probe: ProbeName = "payload"
    share: Annotated[float, Field(ge=0, le=1)] = 0.05
    chance: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _check_amount(self) -> "HappeningTable":
        if is_fault(self.what):
            lasts_min = self.lasts_min or LASTS_MIN.get(self.what)
            until_s = math.inf if lasts_min is None else lasts_min[0]
            for amount in self.amount or (None,):
                LoggerFault(kind=self.what, from_s=0.0, until_s=until_s, amount=amount, share=self.share)
        elif self.amount is not None and self.what not in TROUBLE_AMOUNTS:
            raise ValueError(f"{self.what} takes no amount")
        return self


class ScenarioFile(_Strict):
    """The content of a file."""

    says: Annotated[str, Field(pattern=r"^\S.*\.$")]
    builds_on: Annotated[list[str], Field(alias="with")] = []
    mix: dict[str, Annotated[float, Field(gt=0)]] = {}
    first: list[str] = []
    shippers: Annotated[list[str], Field(min_length=1)] | None = None
    lanes: str | Annotated[list[Annotated[list[str], Field(min_length=2)]], Field(min_length=1)] | None = None
    pace: TravelPace | None = None
    stays_min: dict[Stage, PositiveBounds] = {}
    charge: PositiveBounds | None = None
    leak: PositiveBounds | None = None
    happens: list[HappeningTable] = []

    @model_validator(mode="after")
    def _check_names(self) -> "ScenarioFile":
        for shipper in self.shippers or ():
            if shipper not in SHIPPERS:
                raise ValueError(f"there is no shipper {shipper!r}; choose from {', '.join(SHIPPERS)}")
        if isinstance(self.lanes, str) and self.lanes not in LANES_BY_NAME:
            raise ValueError(f"lanes: {self.lanes!r} is neither a list nor one of {', '.join(LANES_BY_NAME)}")
        for lane in self.lanes if isinstance(self.lanes, list) else ():
            for code in lane:
                if code not in load_airports():
                    raise ValueError(f"lanes: there is no airport {code!r}")
        if self.charge is not None and self.charge[1] > 1:
            raise ValueError("charge: the most is 1, a full charge")
        story = self.shippers or self.lanes or self.pace or self.stays_min or self.charge or self.leak
        if self.mix and (self.builds_on or self.happens or story):
            raise ValueError("a mix only names the scenarios it mixes; what happens belongs in those")
        return self

    def sheet(self, name: str) -> ScenarioSheet:
        """Return the file as the sheet of a scenario."""
        return ScenarioSheet(
            description=self.says,
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
                happenings=tuple(StoryHappening(**each.model_dump()) for each in self.happens),
            ),
        )


def _lanes(said: str | list[list[str]] | None) -> tuple[tuple[str, ...], ...] | None:
    if isinstance(said, str):
        return LANES_BY_NAME[said]
    return None if said is None else tuple(tuple(lane) for lane in said)


def parse_scenario(name: str, text: str) -> ScenarioSheet:
    """Read the text of a scenario.

    Raises a ScenarioError that names the place of the mistake and the reason.
    """
    try:
        return ScenarioFile.model_validate(tomllib.loads(text)).sheet(name)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"scenario {name}: not valid TOML: {error}") from None
    except ValidationError as error:
        raise ScenarioError(
            f"scenario {name}: {'; '.join(_message(each) for each in error.errors())}"
        ) from None


def _message(error: Any) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])
    reason = error["msg"].removeprefix("Value error, ")
    return f"{place.lstrip('.')}: {reason}" if place else reason
