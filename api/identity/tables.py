"""The table of API keys."""

from sqlalchemy import ARRAY, Column, ForeignKey, LargeBinary, Table, Text, Uuid, func

from telemetry.tables import Identifier, Instant, metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("prefix", Text, nullable=False, unique=True, comment="shown in lists and logs, tells keys apart"),
    Column("hash", LargeBinary, nullable=False, comment="SHA-256 of the whole key, which is 256 random bits"),
    Column("role", Text, nullable=False),
    Column("organization", Identifier, ForeignKey("organizations.slug")),
    Column("shipment_ids", ARRAY(Text)),
    Column("device_ids", ARRAY(Text)),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("created_by", Text, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
)
