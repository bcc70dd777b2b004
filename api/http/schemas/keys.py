"""Request and response bodies for API keys."""

from collections.abc import Iterable
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, Field

from api.http.schemas.fields import (
    DeviceId,
    Given,
    Id,
    OrganizationSlug,
    Shown,
    ShownId,
    Time,
    example,
    owners,
)
from api.identity.keys import PREFIX
from api.identity.permissions import KeyRole


class KeyIn(Given):
    model_config = example(role="viewer", organization="acme-cell-therapy")

    role: Annotated[KeyRole, Field(strict=False)]
    organization: OrganizationSlug | None = Field(
        None, description="Limits the key to what this organization owns; required for partner and viewer."
    )
    expires_at: Time | None = Field(
        None,
        description="Absent: never; a courier's key ends some days after the last of its shipments is over (a setting).",
    )
    shipment_ids: Annotated[list[Id], Field(min_length=1, max_length=1000)] | None = Field(
        None,
        description="Limits the key to these shipments; required for courier, and then of one organization, which "
        "the key is bound to.",
    )
    device_ids: Annotated[list[DeviceId], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="For the role device: the loggers whose readings it may send."
    )


class KeyCreated(Shown):
    id: UUID
    key: str = Field(description="Shown only once.", examples=["dw_1f0c93ab_…"])
    prefix: str = Field(description="The beginning of the key, which identifies it in lists and logs.")
    ends_at: Time | None = Field(
        description="When it lets nobody in any more, as known now. Null: nothing says so yet."
    )
    organization_is_new: bool = Field(
        description="The key has created its organization: look for a slip of the pen."
    )
    unregistered_device_ids: list[str] = Field(
        description="Those of `device_ids` that are not registered: slips of the pen, or loggers to come."
    )


def _named(text: str) -> str:
    if PREFIX.fullmatch(text):
        return text
    try:
        return str(UUID(text))
    except ValueError:
        raise ValueError("must be the id of a key, or its prefix such as dw_1f0c93ab") from None


KeyName = Annotated[
    str, AfterValidator(_named), Field(description="Its id, or its prefix.", examples=["dw_1f0c93ab"])
]
"""What names a key in an address: its id, or its prefix."""


class KeyOut(Shown):
    id: UUID
    prefix: str = Field(description="The beginning of the key, which identifies it in lists and logs.")
    role: KeyRole
    organization: str | None
    shipment_ids: list[ShownId] | None
    shipment_organizations: list[str | None] | None = Field(
        description="Whose each of `shipment_ids` is, in their order; null: nobody's."
    )
    device_ids: list[str] | None
    created_at: Time
    created_by: str
    expires_at: Time | None
    ends_at: Time | None = Field(
        description="When it lets nobody in any more, as known now: `expires_at`, or for a courier some days after "
        "the last of its shipments is over. Null: nothing says so yet."
    )
    revoked_at: Time | None
    last_used_at: Time | None = Field(description="Accurate to a few minutes.")

    @classmethod
    def of(cls, row: Any) -> Self:
        """Build it from a row."""
        return cls(**row, shipment_organizations=owners(row["shipment_ids"]))


class LivingWebhook(Shown):
    id: UUID
    organization: str | None = Field(description="Whose it is. Null: the operating organization's.")
    url: str
    state: str


class KeyRevoked(Shown):
    webhooks: list[LivingWebhook] = Field(
        description="Those that were made with the key and live on: they belong to an organization."
    )
    note: str

    @classmethod
    def of(cls, webhooks: Iterable[Any]) -> Self:
        """Build it from the rows of the webhooks."""
        note = (
            "The key is revoked. These webhooks were made with it and live on: delete those that should not, or revoke "
            "the key once more with ?end_webhooks=true."
        )
        return cls(webhooks=[LivingWebhook(**one) for one in webhooks], note=note)
