"""Request and response bodies for dewars."""

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from alerts.rules.blocks.charge_doubts import MEANING, Doubt
from api.http.schemas.fields import Given, Id, OrganizationSlug, Reason, Shown, Time, Words, example
from api.use_cases.registry.dewars import NewDewar

HoldTime = Annotated[float, Field(ge=0, le=10_000)]
Nitrogen = Annotated[float, Field(ge=0, le=10_000)]


class DewarIn(Given):
    model_config = example(dewar_id="DW-17", model="dry shipper, 4.3 l", hold_time_h=240, ln2_capacity_kg=3.5)

    dewar_id: Id
    model: Words | None = None
    hold_time_h: HoldTime | None = Field(
        None, description="How long a full charge keeps it cold, in hours, as qualified."
    )
    ln2_capacity_kg: Nitrogen | None = None
    last_charged_at: Time | None = None
    qualified_until: Time | None = None
    organization: OrganizationSlug | None = Field(
        None, description="To which it is lent from now on, until that loan is ended."
    )

    def value(self) -> NewDewar:
        """Return the input of the use case."""
        return NewDewar(**self.model_dump())


class DewarChangeIn(Given):
    """What to change about a dewar: absent fields stay, null removes a value. Charges have their own call."""

    model_config = example(reason="Requalified", hold_time_h=216, qualified_until="2027-11-01T00:00:00Z")

    reason: Reason | None = Field(None, description="Why, for the record.")
    revision: int | None = Field(
        None, ge=1, description="The revision you saw; if there is a newer one, nothing is changed."
    )
    model: Words | None = None
    hold_time_h: HoldTime | None = None
    ln2_capacity_kg: Nitrogen | None = None
    qualified_until: Time | None = None

    def changes(self) -> dict[str, Any]:
        """Return the fields to change."""
        return self.model_dump(include=self.model_fields_set - {"reason", "revision"})


class _Dewar(Shown):
    dewar_id: str
    model: str | None
    hold_time_h: float | None
    ln2_capacity_kg: float | None
    last_charged_at: Time | None
    qualified_until: Time | None
    created_at: Time
    revision: int
    updated_at: Time
    updated_by: str | None = Field(
        description="`key:PREFIX` of the key that changed it last. Null: registered before this was recorded."
    )


class DewarOut(_Dewar):
    lent_to: str | None = Field(
        description="The organization to which it is lent now; other organizations are told null."
    )


class DewarRevision(_Dewar):
    reason: str | None = Field(description="Why it was changed.")

    @classmethod
    def of(cls, row: Any) -> Self:
        """Build it from a row of the register's history."""
        return cls(**row["content"], reason=row["reason"])


class ChargeIn(Given):
    model_config = example(at="2026-11-20T08:00:00Z", ln2_kg=3.4)

    at: Time | None = Field(
        None, description="When it was charged; by default, now. At most 5 minutes ahead."
    )
    ln2_kg: Nitrogen | None = Field(
        None, description="The nitrogen in it after the charge, in kg, as weighed."
    )


class ChargeCorrectionIn(Given):
    model_config = example(
        charged_at="2026-11-20T08:00:00Z", reason="It was the scale's tare, not the filling", ln2_kg=2.9
    )

    charged_at: Time = Field(description="Which charge: the time at which it is recorded.")
    reason: Reason = Field(description="Why, for the record.")
    ln2_kg: Nitrogen | None = Field(None, description="What was really in it. Null: it was not weighed.")
    withdrawn: bool = Field(
        default=False,
        description="There was no such charge, or it was at another time: then record that one.",
    )

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if not self.changes():
            raise ValueError("names nothing to correct: give ln2_kg or withdrawn")
        return self

    def changes(self) -> dict[str, Any]:
        """Return the fields to change."""
        return self.model_dump(include=self.model_fields_set & {"ln2_kg", "withdrawn"})


class ChargeWas(Shown):
    ln2_kg: float | None
    withdrawn: bool


class ChargeCorrection(Shown):
    corrected_at: Time
    by: str = Field(description="`key:PREFIX` of the key that corrected it.")
    reason: str
    was: ChargeWas = Field(description="What was on record before.")


class ChargeDoubt(Shown):
    code: Doubt
    meaning: str

    @classmethod
    def each(cls, found: Iterable[Doubt]) -> list[Self]:
        """Build one for each doubt."""
        return [cls(code=doubt, meaning=MEANING[doubt]) for doubt in found]


class ChargeOut(Shown):
    dewar_id: str
    charged_at: Time
    ln2_kg: float | None
    recorded_at: Time
    by: str = Field(description="`key:PREFIX` of the key that recorded it; `migration` for older ones.")
    withdrawn: bool = Field(description="There was no such charge; evaluation ignores it.")
    corrections: list[ChargeCorrection] = Field(description="All corrections of it, oldest first.")
    doubts: list[ChargeDoubt] = Field(
        description="What the readings of the loggers that travelled with the shipper say against it."
    )

    @classmethod
    def of(cls, row: Any, found: Iterable[Doubt]) -> Self:
        """Build it from a row of the charges, and what speaks against it."""
        return cls(**row, doubts=ChargeDoubt.each(found))
