"""What loggers and the service say to each other over MQTT, beside readings."""

from typing import Annotated, Literal

from pydantic import Field

from api.http.schemas.fields import Given, Shown, Time
from telemetry.ingest.sequences import MAX_MISSING
from telemetry.ingest.validate_reading import MAX_COUNTER

Counter = Annotated[int, Field(ge=0, le=MAX_COUNTER)]


class LoggerStatus(Given):
    """Whether a logger is connected, as itself or its last will says."""

    state: Literal["online", "offline"]
    at: Time | Annotated[int, Field(ge=0, description="Milliseconds since 1970.")] | None = Field(
        None, description="Since when; when it was received, where it is absent."
    )


class LoggerAck(Shown):
    """Which readings of a logger are stored: those up to `highest` that are not `missing` need not be kept or sent again."""

    boot: Counter = Field(description="Which counter this is about.")
    through: int = Field(
        ge=-1,
        le=MAX_COUNTER,
        description="The highest `seq` up to which nothing is missing; −1: not even the first.",
    )
    missing: list[Annotated[list[Counter], Field(min_length=2, max_length=2)]] = Field(
        max_length=MAX_MISSING, description="Ranges of `seq` that are not here, first and last included."
    )
    highest: Counter = Field(description="Up to this `seq` all are here that are not in `missing`.")
