"""MQTT messages between loggers and the service, other than readings."""

from typing import Annotated, Literal

from pydantic import Field

from api.http.schemas.fields import Given, Shown, Time
from telemetry.ingest.fields.set_aside import MAX_COUNTER
from telemetry.ingest.sequences import MAX_MISSING

Counter = Annotated[int, Field(ge=0, le=MAX_COUNTER)]


class LoggerStatus(Given):
    """Whether a logger is connected, as reported by the logger or by its last will."""

    state: Literal["online", "offline"]
    at: Time | Annotated[int, Field(ge=0, description="Milliseconds since 1970.")] | None = Field(
        None, description="Since when. Absent: since it was received."
    )


class LoggerAck(Shown):
    """Which readings of a logger are stored.

    The logger need not keep or resend those up to `highest` that are not in `missing`.
    """

    boot: Counter = Field(description="The boot whose readings this is about.")
    through: int = Field(
        ge=-1,
        le=MAX_COUNTER,
        description="The highest `seq` up to which nothing is missing; −1 if the first one is missing.",
    )
    missing: list[Annotated[list[Counter], Field(min_length=2, max_length=2)]] = Field(
        max_length=MAX_MISSING, description="Ranges of `seq` that are missing, first and last included."
    )
    highest: Counter = Field(description="All up to this `seq` are stored, except those in `missing`.")
