"""Request and response bodies for products."""

from typing import Annotated, Any, Self

from pydantic import Field

from alerts.excursions.plan import Band
from api.http.schemas.fields import Id, Name, OrganizationSlug, Reason, ShownId, Time, Words, example
from api.http.schemas.shipments import PlanChanges, PlanOut, TunedPlanFields
from api.use_cases.registry.products import NewProduct

UseWithin = Annotated[float, Field(gt=0, le=10 * 366 * 24)]


class ProductIn(TunedPlanFields):
    model_config = example(
        product_id="CAR-T-19",
        name="Autologous CD19 CAR-T, cryopreserved",
        band="cryogenic",
        on_delay_s=600,
        budget_s=7200,
        use_within_h=240,
    )

    product_id: Id
    organization: OrganizationSlug | None = Field(
        None,
        description="Whose product it is, for its shipments only. Null: everybody's. By default that of the "
        "key.",
    )
    name: Name | None = None
    band: Annotated[Band, Field(strict=False)]
    use_within_h: UseWithin | None = Field(None, description="Hours from pack-out to use.")
    note: Words | None = None

    def value(self) -> NewProduct:
        """Return the input of the use case."""
        own = self.model_dump(include={"product_id", "organization", "name", "band", "use_within_h", "note"})
        return NewProduct(**own, plan=self.plan_fields())


class ProductChangeIn(PlanChanges, TunedPlanFields):
    """What to change about a product: absent fields stay, except that a new band brings its own limits."""

    model_config = example(reason="Stability data of 2026-11", budget_s=14400, revision=1)

    reason: Reason | None = Field(None, description="Why, for the record.")
    revision: int | None = Field(
        None, ge=1, description="The revision you saw; if there is a newer one, nothing is changed."
    )
    name: Name | None = None
    use_within_h: UseWithin | None = None
    note: Words | None = None

    def own_fields(self) -> dict[str, Any]:
        """Return the fields that were sent and do not belong to the plan."""
        return {
            name: getattr(self, name)
            for name in ("name", "use_within_h", "note")
            if name in self.model_fields_set
        }


class ProductOut(PlanOut):
    """A product, with every limit and time of its plan spelled out."""

    product_id: ShownId
    organization: str | None
    name: str | None
    use_within_h: float | None
    note: str | None
    revision: int
    created_at: Time
    updated_at: Time
    updated_by: str = Field(description="`key:PREFIX` of the key that changed it last.")

    @classmethod
    def of(cls, row: Any, **more: Any) -> Self:
        """Build it from a row."""
        return cls(**{**row, **row["plan"]}, **more)


class ProductRevision(ProductOut):
    reason: str | None = Field(description="Why it was changed.")
