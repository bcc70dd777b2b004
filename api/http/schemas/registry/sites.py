"""Request and response bodies for sites."""

import re
from datetime import date
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Self
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from alerts.excursions.plan import Band
from api.http.problems import hint
from api.http.schemas.fields import (
    Given,
    Id,
    Name,
    OrganizationSlug,
    Reason,
    Shown,
    ShownId,
    Time,
    Words,
    example,
)
from api.use_cases.registry.sites import AIRPORT_RADIUS_M, RADIUS_M, NewSite
from telemetry.registry.receiving_hours import parse_receiving_hours

_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"\+?[0-9 ()./-]{3,40}", re.ASCII)


class SiteKind(StrEnum):
    """The kind of a site."""

    SITE_OF_CARE = "site_of_care"
    DEPOT = "depot"
    HUB = "hub"
    AIRPORT = "airport"


@cache
def _zones() -> list[str]:
    return sorted(available_timezones() - {"Factory", "localtime"})


def _zone(name: str) -> str:
    if name not in _zones():
        raise ValueError(f"is not an IANA time zone such as Europe/Berlin{hint(name[:100], _zones())}")
    return name


def _date(text: str) -> str:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        raise ValueError("must be a date such as 2026-12-25")
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("must be a date that there is, such as 2026-12-25") from None


def _mail(text: str) -> str:
    if not _MAIL.fullmatch(text):
        raise ValueError("must be an address such as pharmacy@clinic.example")
    return text


def _phone(text: str) -> str:
    if not _PHONE.fullmatch(text) or not re.search(r"\d{3}", re.sub(r"\D", "", text)):
        raise ValueError("must be a number such as +49 69 1234567")
    return text


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound or re.search(r"\s", text):
        raise ValueError("must be an address such as https://clinic.example/hooks/dewars")
    return text


Zone = Annotated[str, AfterValidator(_zone), Field(examples=["Europe/Berlin"])]
Day = Annotated[str, AfterValidator(_date), Field(json_schema_extra={"format": "date"})]
Spans = Annotated[
    list[list[str]],
    Field(
        max_length=10,
        description="`[from, to]` in the site's local time, `HH:MM`; a span that ends at or before its "
        "beginning ends on the next day.",
        examples=[[["08:00", "12:00"], ["13:00", "17:00"]]],
    ),
]
Lat = Annotated[float, Field(ge=-90, le=90)]
Lon = Annotated[float, Field(ge=-180, le=180)]
Radius = Annotated[float, Field(ge=1, le=1_000_000)]


class ReceivingHours(Given):
    """When a site receives shipments; it is closed on days that are not named."""

    mon: Spans = Field(default=[])
    tue: Spans = Field(default=[])
    wed: Spans = Field(default=[])
    thu: Spans = Field(default=[])
    fri: Spans = Field(default=[])
    sat: Spans = Field(default=[])
    sun: Spans = Field(default=[])
    closed_dates: Annotated[list[Day], Field(max_length=400)] = Field(
        [], description="No span begins on these days; one from the evening before ends at midnight."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        parse_receiving_hours("UTC", self.as_given())
        return self

    def as_given(self) -> dict[str, Any]:
        """Return the hours as they were sent."""
        return self.model_dump(exclude_unset=True)


class Contact(Given):
    name: Name
    email: Annotated[Words, AfterValidator(_mail)] | None = None
    phone: Annotated[Words, AfterValidator(_phone)] | None = None
    webhook: Annotated[str, Field(max_length=2000), AfterValidator(_web_address)] | None = None
    note: Words | None = None


def _bands(value: Any) -> Any:
    """Convert names of bands to bands, which a strict body would refuse."""
    if not isinstance(value, list):
        return value
    if wrong := [name for name in value if not (isinstance(name, str) and name in set(Band))]:
        shown = wrong[0] if isinstance(wrong[0], str) else "a value that is not a text"
        raise ValueError(f"names no band: {str(shown)[:100]!r}; bands are {', '.join(Band)}")
    return [Band(name) for name in dict.fromkeys(value)]


Stores = Annotated[
    list[Band],
    BeforeValidator(_bands),
    Field(description="The bands that it can store. Null: unknown. Empty: none.", examples=[["cryogenic"]]),
]
Contacts = Annotated[list[Contact], Field(max_length=20)]

_DEFAULT_RADIUS = f"{RADIUS_M:g} by default, {AIRPORT_RADIUS_M:g} if `kind` is `airport`."


class SiteIn(Given):
    model_config = example(
        site_id="CLINIC-BOS",
        name="Back Bay Clinic, Boston",
        kind="site_of_care",
        lat=42.3467,
        lon=-71.0722,
        timezone="America/New_York",
        stores=["cryogenic"],
        receiving_hours={
            "mon": [["08:00", "17:00"]],
            "fri": [["08:00", "12:00"]],
            "closed_dates": ["2026-12-25"],
        },
        contacts=[{"name": "Pharmacy", "phone": "+1 617 555 0100"}],
    )

    site_id: Id
    organization: OrganizationSlug | None = Field(
        None,
        description="Whose site it is, for its shipments only. Null: everybody's. By default that of the "
        "key.",
    )
    name: Name
    kind: Annotated[SiteKind, Field(strict=False)] | None = None
    lat: Lat
    lon: Lon
    radius_m: Radius | None = Field(None, description=f"The radius of its geofence. {_DEFAULT_RADIUS}")
    timezone: Zone
    stores: Stores | None = None
    receiving_hours: ReceivingHours | None = Field(None, description="Null: always open.")
    contacts: Contacts = Field(default=[])
    note: Words | None = None

    def value(self) -> NewSite:
        """Return the input of the use case."""
        return NewSite(**_stored(self, set(SiteIn.model_fields)))


class SiteChangeIn(Given):
    """What to change about a site: absent fields stay as they are."""

    model_config = example(reason="New ramp hours", receiving_hours={"mon": [["06:00", "22:00"]]}, revision=1)

    reason: Reason | None = Field(None, description="Why, for the record.")
    revision: int | None = Field(
        None, ge=1, description="The revision you saw; if there is a newer one, nothing is changed."
    )
    name: Name | None = None
    kind: Annotated[SiteKind, Field(strict=False)] | None = None
    lat: Lat | None = None
    lon: Lon | None = None
    radius_m: Radius | None = None
    timezone: Zone | None = None
    stores: Stores | None = None
    receiving_hours: ReceivingHours | None = None
    contacts: Contacts | None = None
    note: Words | None = None

    @field_validator("name", "lat", "lon", "radius_m", "timezone", "contacts")
    @classmethod
    def _stays(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("cannot be null: leave it out to keep it as it is")
        return value

    def changes(self) -> dict[str, Any]:
        """Return the fields to change, as they are stored."""
        return _stored(self, self.model_fields_set - {"reason", "revision"})


def _stored(body: SiteIn | SiteChangeIn, names: set[str]) -> dict[str, Any]:
    values = body.model_dump(include=names)
    if body.receiving_hours is not None:
        values["receiving_hours"] = body.receiving_hours.as_given()
    return values


class SiteContact(Shown):
    name: str
    email: str | None
    phone: str | None
    webhook: str | None
    note: str | None


class SitePlace(Shown):
    """A site's name, position, geofence and time zone."""

    site_id: ShownId
    name: str
    lat: float
    lon: float
    timezone: str
    radius_m: float


class SiteOut(SitePlace):
    organization: str | None
    kind: SiteKind | None
    stores: list[Band] | None
    receiving_hours: dict[str, list[list[str]] | list[str]] | None = Field(description="As it was sent.")
    contacts: list[SiteContact]
    note: str | None
    revision: int
    created_at: Time
    updated_at: Time
    updated_by: str = Field(description="`key:PREFIX` of the key that changed it last.")


class SiteRevision(SiteOut):
    reason: str | None = Field(description="Why it was changed.")

    @classmethod
    def of(cls, row: Any) -> Self:
        """Build it from a row of the register's history."""
        return cls(**row["content"], reason=row["reason"])
