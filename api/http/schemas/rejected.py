"""Response bodies for refused messages."""

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
        description="Its index in the array that was sent. Null: the whole message was refused."
    )
    source: Source
    topic: str | None = Field(description="The topic, if it came by MQTT.")
    caller: str | None = Field(description="The key's prefix, if it came by HTTP.")
    payload_base64: str = Field(description="The bytes received; in lists only the first of a long message.")
    payload_bytes: int = Field(description="The length of the whole message.")
    payload_truncated: bool

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
        )
