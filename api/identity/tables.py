"""The tables of API keys, and of calls that are answered once."""

from sqlalchemy import (
    ARRAY,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    func,
)

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

idempotent_calls = Table(
    "idempotent_calls",
    metadata,
    Column("caller", Text, nullable=False, comment="a key's name"),
    Column("key_hash", LargeBinary, nullable=False, comment="SHA-256 of the Idempotency-Key"),
    Column("request_hash", LargeBinary, nullable=False, comment="SHA-256 of method, address and body"),
    Column("made_at", Instant, nullable=False, server_default=func.clock_timestamp(), index=True),
    Column("status", Integer),
    Column("headers", ARRAY(Text)),
    Column("answer", LargeBinary, comment="encrypted: who sent the call has the key"),
    PrimaryKeyConstraint("caller", "key_hash"),
    comment="what was answered to calls with an Idempotency-Key, for a day; written in the transaction of the call",
)
