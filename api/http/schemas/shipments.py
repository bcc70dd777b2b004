"""Request and response bodies for shipments."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from alerts.excursions.plan import Band
from alerts.model import Severity
from alerts.views.health import Health
from alerts.views.shipments import SeenShipment
from api.http.schemas.fields import (
    DeviceId,
    Given,
    Id,
    OrganizationSlug,
    Reason,
    Shown,
    ShownId,
    Time,
    Words,
    example,
)
from api.http.schemas.registry.devices import Latest, PositionOut, latest_of, position_of
from api.http.schemas.registry.sites import SitePlace
from api.use_cases.shipments.corrections import Correction
from api.use_cases.shipments.gates import Gate
from api.use_cases.shipments.lifecycle import Leg, NewShipment
from telemetry.registry.shipment_revisions import ShipmentStep

Status = Literal["planned", "in_transit", "delivered", "cancelled"]


class LegIn(Given):
    from_: Annotated[Words, Field(alias="from")]
    to: Words
    carrier: Words | None = None
    planned_departure: Time | None = None
    planned_arrival: Time | None = None

    def value(self) -> Leg:
        """Return it as use cases take it."""
        return Leg(**{name: getattr(self, name) for name in LegIn.model_fields})


class PlanFields(Given):
    """The fields of a plan, other than its band."""

    lower_c: float | None = Field(None, description="Overrides the band's limit; null: no limit.")
    upper_c: float | None = None
    critical_low_c: float | None = None
    critical_high_c: float | None = None
    deadband_c: float | None = Field(None, description="0.5 by default.")
    on_delay_s: float | None = Field(None, description="0 by default.")
    budget_s: float | None = Field(None, description="Total time out of range that the product tolerates.")
    max_gap_s: float | None = Field(None, description="1800 by default.")
    delta_h_kj_mol: float | None = Field(None, description="Activation energy, 83.144 by default.")
    time_lapse: float | None = Field(
        None,
        description="For simulated shipments: how many times faster than real time they travel. 1 by "
        "default.",
    )

    def plan_fields(self) -> dict[str, Any]:
        """Return the fields of the plan that were sent; null is not the same as absent."""
        return {
            name: getattr(self, name) for name in PlanFields.model_fields if name in self.model_fields_set
        }


class TunedPlanFields(PlanFields):
    """The fields of a plan, with the tuning of its rules."""

    rules: dict[str, dict[str, bool | float | None] | None] | None = Field(
        None,
        description="Rules that are off or tuned, by kind of alert; all others have their defaults. Null "
        "resets a rule to its defaults.",
        examples=[{"signal_lost": {"max_gap_s": 3600}}],
    )

    def plan_fields(self) -> dict[str, Any]:
        """Return the fields of the plan that were sent, including the tuning of rules."""
        return super().plan_fields() | ({} if self.rules is None else {"rules": self.rules})


class ShipmentIn(TunedPlanFields):
    model_config = example(
        shipment_id="SH-2026-0042",
        organization="acme-cell-therapy",
        band="cryogenic",
        device_ids=["LOG-4711"],
        origin="FRA",
        destination="JFK",
        budget_s=7200,
        departed_at="2026-11-21T03:45:00Z",
    )

    shipment_id: Id
    organization: OrganizationSlug | None = Field(
        None, description="Who may see it; created when first named. By default that of the key."
    )
    band: Annotated[Band | None, Field(strict=False)] = Field(
        None, description="Required unless `product_id` is given; then by default the product's band."
    )
    device_ids: list[DeviceId] = Field(min_length=1, max_length=50)
    dewar_id: Id | None = None
    product_id: Id | None = Field(
        None,
        description="A registered product, from which the band and all plan fields not given here are taken.",
    )
    origin: Words | None = Field(None, description="The id of a site, or free text, like all places.")
    destination: Words | None = None
    legs: list[LegIn] = Field(default=[], max_length=20)
    planned_departure: Time | None = None
    planned_arrival: Time | None = None
    packed_out_at: Time | None = None
    use_by: Time | None = Field(
        None,
        description="By default `packed_out_at` plus the product's `use_within_h`, if both are known.",
    )
    drill: bool = False
    departed_at: Time | None = Field(
        None, description="If given, the shipment departs at once, at this time."
    )
    override_reason: Reason | None = Field(
        None,
        description="Why a logger or a shipper is used although its calibration or its qualification ends before the planned "
        "arrival. It stays in sight, in `overrides`.",
    )

    @field_validator("device_ids")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("must name each device once")
        return value

    def value(self) -> NewShipment:
        """Return it as use cases take it."""
        own = ShipmentIn.model_fields.keys() - TunedPlanFields.model_fields.keys() - {"legs"}
        given = {name: getattr(self, name) for name in own}
        return NewShipment(**given, plan=self.plan_fields(), legs=[leg.value() for leg in self.legs])


class PlanChanges(PlanFields):
    """What to change about a plan: absent fields stay, except that a new band brings its own limits."""

    band: Annotated[Band | None, Field(strict=False)] = None

    def plan_fields(self) -> dict[str, Any]:
        """Return the fields of the plan that were sent, including the band."""
        return ({"band": self.band} if "band" in self.model_fields_set else {}) | super().plan_fields()


class PlanChangeIn(PlanChanges, TunedPlanFields):
    model_config = example(
        reason="Stability data of 2026-11: the product tolerates four hours", budget_s=14400, plan_revision=1
    )

    reason: Reason = Field(description="Why, for the record.")
    plan_revision: int | None = Field(
        None,
        ge=1,
        description="The revision of the plan you saw; if there is a newer one, nothing is changed.",
    )


_ABOUT_IT = {"reason", "schedule_revision", "override_reason"}


class ScheduleChangeIn(Given):
    """What to change about a shipment's destination, legs and times: absent fields stay as they are."""

    model_config = example(
        reason="LH 400 missed, rebooked on LH 404",
        planned_arrival="2026-11-22T18:30:00Z",
        destination="CLINIC-BOS",
        schedule_revision=1,
    )

    reason: Reason = Field(description="Why, for the record.")
    schedule_revision: int | None = Field(
        None,
        ge=1,
        description="The revision of the schedule you saw; if there is a newer one, nothing is changed.",
    )
    planned_departure: Time | None = None
    planned_arrival: Time | None = None
    packed_out_at: Time | None = Field(
        None,
        description="At most 5 minutes ahead. `use_by` moves with it, unless it is or was given explicitly.",
    )
    use_by: Time | None = None
    destination: Words | None = None
    legs: list[LegIn] = Field(default=[], max_length=20, description="Replaces all legs.")
    override_reason: Reason | None = Field(
        None,
        description="Why a logger or a shipper is used although its calibration or its qualification ends before the planned "
        "arrival. It stays in sight, in `overrides`.",
    )

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if not self.changes():
            raise ValueError(
                "names nothing to change: give at least one of "
                + ", ".join(name for name in ScheduleChangeIn.model_fields if name not in _ABOUT_IT)
            )
        return self

    def changes(self) -> dict[str, Any]:
        """Return the fields that were sent; null removes a time or the destination."""
        sent = {name: getattr(self, name) for name in self.model_fields_set - _ABOUT_IT}
        return sent | ({"legs": [leg.value() for leg in self.legs]} if "legs" in sent else {})


class MomentIn(Given):
    model_config = example(at="2026-11-21T03:45:00Z")

    at: Time | None = Field(
        None,
        description="By default, now; at most 5 minutes ahead. Couriers set it back by minutes only (a setting).",
    )
    reason: Reason | None = Field(
        None,
        description="Why, for the record. Required to cancel, and to set a delivery back to before the end of an "
        "excursion on record.",
    )


class CorrectionIn(Given):
    """What to correct of a shipment's life: absent fields stay as they are."""

    model_config = example(
        delivered_at=None, reason="The courier scanned another box: this one is still on its way"
    )

    departed_at: Time | None = Field(None, description="When it really departed. Null: it has not departed.")
    delivered_at: Time | None = Field(
        None, description="When it really arrived. Null: it has not, and is on its way again."
    )
    uncancel: bool = Field(default=False, description="It was not called off.")
    reason: Reason = Field(description="Why, for the record.")

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if not self.uncancel and not self.model_fields_set & {"departed_at", "delivered_at"}:
            raise ValueError(
                "names nothing to correct: give departed_at or delivered_at, null to take that back, or uncancel"
            )
        return self

    def value(self) -> Correction:
        """Return it as use cases take it."""
        given = self.model_fields_set & {"departed_at", "delivered_at"}
        return Correction(times={name: getattr(self, name) for name in given}, uncancel=self.uncancel)


class LoggersChangeIn(Given):
    model_config = example(
        add=["LOG-4712"], remove=["LOG-4711"], at="2026-11-21T09:30:00Z", reason="Its probe is broken"
    )

    add: list[DeviceId] = Field(default=[], max_length=50, description="Loggers that are put on it.")
    remove: list[DeviceId] = Field(default=[], max_length=50, description="Loggers that are taken off it.")
    at: Time | None = Field(
        None,
        description="When that was; by default, now. What they measure counts from then on, or until then.",
    )
    reason: Reason = Field(description="Why, for the record.")
    override_reason: Reason | None = Field(
        None,
        description="Why a logger or a shipper is used although its calibration or its qualification ends before the planned "
        "arrival. It stays in sight, in `overrides`.",
    )

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if not self.add and not self.remove:
            raise ValueError("names nothing to change: give add or remove")
        if len({*self.add, *self.remove}) < len(self.add) + len(self.remove):
            raise ValueError("names a logger twice: each is either added or removed")
        return self


class DewarMoveIn(Given):
    model_config = example(
        dewar_id="DW-18", at="2026-11-21T09:30:00Z", reason="DW-17 lost its vacuum, moved at the hub"
    )

    dewar_id: Id
    at: Time | None = Field(None, description="When it was moved; by default, now.")
    reason: Reason = Field(description="Why, for the record.")
    override_reason: Reason | None = Field(
        None,
        description="Why a logger or a shipper is used although its calibration or its qualification ends before the planned "
        "arrival. It stays in sight, in `overrides`.",
    )


class Override(Shown):
    """Something that was not in order, and was accepted."""

    gate: Gate
    id: str = Field(description="The logger, or the shipper.")
    due_at: Time = Field(description="When its calibration or its qualification ends.")
    needed_until: Time = Field(description="Until when it was needed, by the plan as it was then.")
    reason: str | None = Field(
        description="Why it is used all the same. Null: it was found so when the departure was recorded."
    )
    by: str
    at: Time


class PlanOut(Shown):
    band: Band
    lower_c: float | None
    upper_c: float | None
    critical_low_c: float | None
    critical_high_c: float | None
    deadband_c: float
    on_delay_s: float
    budget_s: float | None
    max_gap_s: float
    delta_h_kj_mol: float
    time_lapse: float = Field(1, description="1, except for simulated shipments.")
    rules: dict[str, dict[str, bool | float | None]] = Field(
        {}, description="The tuning of rules for this shipment; everything else has its default."
    )


class AssignedDevice(Shown):
    device_id: str
    starts_at: Time = Field(description="Its readings belong to the shipment from this time on.")
    ends_at: Time | None


class LegOut(Shown):
    from_: str = Field(alias="from")
    to: str
    carrier: str | None = None
    planned_departure: Time | None = None
    planned_arrival: Time | None = None


class ShipmentRevision(Shown):
    revision: int
    recorded_at: Time = Field(description="When it was recorded; `as_of` refers to this time.")
    step: ShipmentStep
    by: str = Field(description="`key:PREFIX` of the key that made the step.")
    reason: str | None = Field(description="Why, in the words of whoever took the step.")
    plan: PlanOut
    plan_revision: int
    schedule_revision: int
    dewar_id: str | None
    origin: str | None
    destination: str | None
    legs: list[LegOut]
    planned_departure: Time | None
    planned_arrival: Time | None
    packed_out_at: Time | None
    use_by: Time | None
    departed_at: Time | None
    delivered_at: Time | None
    cancelled_at: Time | None
    overrides: list[Override]
    devices: list[AssignedDevice]

    @classmethod
    def of(cls, row: Any) -> Self:
        """Build it from a row."""
        return cls(**row)


class ShipmentState(Shown):
    """A shipment as events have it."""

    shipment_id: ShownId
    organization: str | None
    status: Status
    band: Band
    plan: PlanOut = Field(description="Every limit and time of the plan, spelled out.")
    plan_revision: int
    schedule_revision: int = Field(description="Grows with each change of its destination, legs or times.")
    device_ids: list[str]
    dewar_id: str | None
    product_id: ShownId | None
    origin: str | None
    destination: str | None
    legs: list[LegOut]
    planned_departure: Time | None
    planned_arrival: Time | None
    packed_out_at: Time | None
    use_by: Time | None
    use_within_h: float | None = Field(description="The product's value when the shipment was created.")
    overrides: list[Override] = Field(
        description="What was accepted although it was not in order, the first one first."
    )
    drill: bool
    departed_at: Time | None
    delivered_at: Time | None
    cancelled_at: Time | None
    created_at: Time

    @classmethod
    def of(cls, row: Any, device_ids: Sequence[str]) -> Self:
        """Build it from a row of the registry."""
        return cls(**row, device_ids=list(device_ids))


class ShipmentDevice(AssignedDevice):
    last_seen: Time | None = Field(description="Only while it is on this shipment; so too the fields below.")
    latest: Latest | None
    position: PositionOut | None

    @classmethod
    def of(cls, row: Any) -> Self:
        """Build it from a row of the registry."""
        return cls(
            device_id=row["device_id"],
            starts_at=row["starts_at"],
            ends_at=row["ends_at"],
            last_seen=row["last_received_at"],
            latest=latest_of(row),
            position=position_of(row, since=row["starts_at"]),
        )


class ShipmentOut(ShipmentState):
    health: Health = Field(
        description="What needs attention now. `critical`: an open excursion beyond the critical limit, or "
        "an unresolved critical alert. `warning`: any other open excursion or unresolved alert. "
        "`no_signal`: no reading of one of its loggers for longer than `max_gap_s`, unannounced "
        "(an unresolved `signal_lost` alert, of the shipment or of the whole fleet). Else "
        "`normal`."
    )
    open_excursions: int
    worst_severity: Severity | None = Field(
        description="The worst of all its excursions so far, but for those that were withdrawn."
    )
    taken_away_by_people: int = Field(
        description="Excursions that an act of a person has withdrawn or made less: see its summary."
    )
    devices: list[ShipmentDevice]
    sites: dict[str, SitePlace] = Field(
        description="Those of its places (`origin`, `destination`, `from` and `to` of legs) that are sites, "
        "by id."
    )

    @classmethod
    def seen(cls, shipment: SeenShipment) -> Self:
        """Build it from a shipment with its loggers and sites."""
        shown = [ShipmentDevice.of(device) for device in shipment.devices]
        places = {site_id: SitePlace(**site) for site_id, site in shipment.sites.items()}
        ids = [device.device_id for device in shown]
        return cls(**shipment.row, device_ids=ids, devices=shown, sites=places)
