"""Dewars as they cross the HTTP interface."""

from typing import Annotated

from pydantic import Field

from api.schemas.fields import Given, Id, Shown, Time, Words, example


class DewarIn(Given):
    model_config = example(dewar_id="DW-17", model="dry shipper, 4.3 l", hold_time_h=240, ln2_capacity_kg=3.5)

    dewar_id: Id
    model: Words | None = None
    hold_time_h: Annotated[float, Field(ge=0, le=10_000)] | None = Field(
        None, description="How long a full charge keeps it cold, in hours, as qualified."
    )
    ln2_capacity_kg: Annotated[float, Field(ge=0, le=10_000)] | None = None
    last_charged_at: Time | None = None
    qualified_until: Time | None = None


class DewarOut(Shown):
    dewar_id: str
    model: str | None
    hold_time_h: float | None
    ln2_capacity_kg: float | None
    last_charged_at: Time | None
    qualified_until: Time | None
    created_at: Time


class ChargeIn(Given):
    model_config = example(at="2026-11-20T08:00:00Z", ln2_kg=3.4)

    at: Time | None = Field(None, description="Now, by default; at most 5 minutes ahead.")
    ln2_kg: Annotated[float, Field(ge=0, le=10_000)] | None = Field(
        None, description="How much nitrogen is in it after the charge, as weighed."
    )


class ChargeOut(Shown):
    dewar_id: str
    charged_at: Time
    ln2_kg: float | None
    recorded_at: Time
    by: str = Field(description="`key:PREFIX` of the key that recorded it; `migration`: known since before.")
