"""Response bodies for refused messages."""

from base64 import b64encode
from typing import Any, Self

from pydantic import Field

from api.http.schemas.fields import Shown, Time
from telemetry.model import RefusalReason, Source


class MoreRefused(Shown):
    """What one origin sent beyond what is kept of it: it was refused and counted."""

    count: int = Field(description="How many more were refused, on one day (UTC).")
    bytes: int = Field(description="The length of the messages that they were in.")
    first_at: Time
    last_at: Time


class RejectedOut(Shown):
    id: int
    received_at: Time
    reason: RefusalReason
    detail: str
    device_id: str | None
    index: int | None = Field(
        description="Its index in the array that was sent. Null: the whole message was refused."
    )
    source: Source
    topic: str | None = Field(
        description="The topic, if it came by MQTT; with `more`, the logger, or `*` for all that are not registered."
    )
    caller: str | None = Field(description="The key's prefix, if it came by HTTP.")
    payload_base64: str = Field(description="The first bytes of the message, as many as are kept.")
    payload_bytes: int = Field(description="The length of the whole message.")
    payload_truncated: bool = Field(description="The message was longer than what is shown.")
    payload_sha256: str | None = Field(
        description="SHA-256 of the whole message, in hexadecimal. Null with `more`, and in lists for long messages "
        "that were stored whole by an earlier version."
    )
    reading: str | None = Field(
        description="The refused reading as JSON, if it was one of a message that is not kept whole."
    )
    more: MoreRefused | None = Field(
        description="This row stands for refusals that are not kept, because their origin had spent its quota for "
        "this reason. Null: an ordinary refusal."
    )

    @classmethod
    def of(cls, row: Any) -> Self:
        """Build it from a row."""
        by_mqtt = row["source"] == Source.MQTT
        return cls(
            id=row["id"],
            received_at=row["received_at"],
            reason=row["reason"],
            detail=row["detail"],
            device_id=row["device_id"],
            index=row["position"],
            source=row["source"],
            topic=row["origin"] if by_mqtt else None,
            caller=None if by_mqtt else row["origin"],
            payload_base64=b64encode(row["payload"]).decode(),
            payload_bytes=row["size"],
            payload_truncated=len(row["payload"]) < row["size"],
            payload_sha256=None if row["sha256"] is None else bytes(row["sha256"]).hex(),
            reading=row["reading"],
            more=None if row["quota_id"] is None else _more(row),
        )


def _more(row: Any) -> MoreRefused:
    return MoreRefused(
        count=row["not_kept"],
        bytes=row["not_kept_bytes"],
        first_at=row["first_not_kept_at"],
        last_at=row["last_not_kept_at"],
    )
