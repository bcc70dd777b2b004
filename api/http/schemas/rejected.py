"""Refused messages as they cross the HTTP interface."""

from base64 import b64encode
from typing import Any, Self

from pydantic import Field

from api.http.schemas.fields import Shown, Time
from telemetry.model import RefusalReason, Source


class RejectedOut(Shown):
    id: int
    received_at: Time
    reason: RefusalReason
    detail: str
    device_id: str | None
    index: int | None = Field(
        description="Its place in the array that was sent; null where all of it was refused."
    )
    source: Source
    topic: str | None = Field(description="Where it came by MQTT.")
    caller: str | None = Field(description="Where it came by HTTP: the key's prefix.")
    payload_base64: str = Field(description="The bytes as they came; in lists, of long messages the first.")
    payload_bytes: int = Field(description="How long the whole message is.")
    payload_truncated: bool

    @classmethod
    def of(cls, row: Any) -> Self:
        """Make it of a row."""
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
        )
