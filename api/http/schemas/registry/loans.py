"""Request and response bodies for loans of loggers and dewars."""

from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field

from api.http.schemas.fields import Given, OrganizationSlug, Reason, Shown, Time, example
from api.use_cases.registry.loans import NewLoan
from telemetry.registry.holding.things import Thing


class LoanIn(Given):
    model_config = example(organization="acme-cell-therapy", reason="Study 17")

    organization: OrganizationSlug
    from_: Annotated[Time | None, Field(alias="from", description="Since when; by default, from now on.")] = (
        None
    )
    until: Time | None = Field(None, description="When it ends; by default, when somebody ends it.")
    reason: Reason | None = Field(None, description="Why, for the record.")

    def value(self) -> NewLoan:
        """Return the input of the use case."""
        return NewLoan(
            organization=self.organization, starts_at=self.from_, ends_at=self.until, reason=self.reason
        )


class LoanEndIn(Given):
    model_config = example(reason="Given back")

    at: Time | None = Field(None, description="When it ends; by default, now. It may lie ahead.")
    reason: Reason = Field(description="Why, for the record.")


class LoanWas(Shown):
    until: Time | None


class LoanChange(Shown):
    changed_at: Time
    by: str = Field(description="`key:PREFIX` of the key that changed it.")
    reason: str
    was: LoanWas = Field(description="What was on record before.")

    @classmethod
    def of(cls, stored: Any) -> Self:
        """Build it from a change as it is stored."""
        return cls(**{**stored, "was": LoanWas(until=stored["was"]["ends_at"])})


class LoanOut(Shown):
    id: UUID
    device_id: str | None = Field(description="The logger that is lent; null for a shipper.")
    dewar_id: str | None = Field(description="The shipper that is lent; null for a logger.")
    organization: str
    from_: Annotated[Time, Field(alias="from")]
    until: Time | None = Field(description="Null: until somebody ends it.")
    recorded_at: Time
    by: str = Field(description="`key:PREFIX` of the key that lent it; `migration` for older ones.")
    reason: str | None
    changes: list[LoanChange] = Field(description="All changes of its end, oldest first.")

    @classmethod
    def of(cls, thing: Thing, row: Any) -> Self:
        """Build it from a row of the loans of a thing."""
        ids = {"device_id": None, "dewar_id": None, thing.key: row[thing.key]}
        return cls(
            **ids,
            **{name: row[name] for name in ("id", "organization", "recorded_at", "by", "reason")},
            from_=row["starts_at"],
            until=row["ends_at"],
            changes=[LoanChange.of(change) for change in row["changes"]],
        )
