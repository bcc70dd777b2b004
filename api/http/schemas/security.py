"""Response bodies of the security log."""

from typing import Any, Self

from pydantic import Field

from api.http.schemas.fields import Shown, Time
from api.security.events import SecurityEventType


class SecurityEventOut(Shown):
    id: int
    at: Time = Field(description="When it happened; of several, the first.")
    type: SecurityEventType
    actor: str | None = Field(description="Who did it, as in records. Null: nobody who is known.")
    key_prefix: str | None = Field(
        description="Of the key that was used; with a refusal without `actor`, of the one that was given and is not valid."
    )
    address: str | None = Field(
        description="Where the call came from. Null: from several addresses, see `details`, or a command."
    )
    call: str | None = Field(
        description="Method and address of the route. Null: several, see `details`, or a command.",
        examples=["GET /v1/alerts/{alert_id}"],
    )
    subject: str | None = Field(
        description="What it was done to, or was to be done to: `key:…`, `webhook:…`, `logger:…`, `dewar:…`, `alert:…` and "
        "so on. With a refusal, the id as it stood in the address. Null: nothing, or several, see `details`."
    )
    status: int | None = Field(description="What a refused call was answered with: 401, 403 or 404.")
    count: int = Field(
        description="More than one, or with `last_at`: so many more alike, of the same origin, within a minute."
    )
    last_at: Time | None
    details: dict[str, Any] | None = Field(
        description="What was given or changed; never a secret. `counted`: of a row that counts, how often each call, "
        "subject, address or prefix was among them, where they differ; at most 20 of each, and `others`."
    )

    @classmethod
    def of(cls, row: Any) -> Self:
        """Build it from a row."""
        return cls(**{name: row[name] for name in SecurityEventOut.model_fields})
