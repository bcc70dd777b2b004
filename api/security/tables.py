"""The table of security events."""

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, SmallInteger, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from telemetry.tables import Instant, metadata

security_events = Table(
    "security_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", Instant, nullable=False, index=True),
    Column("type", Text, nullable=False),
    Column("actor", Text),
    Column("key_prefix", Text, comment="of the key that was used, or that was given and is not valid"),
    Column("address", Text, comment="where the call came from"),
    Column("call", Text, comment="method and address of the route"),
    Column("subject", Text, comment="what it was done to"),
    Column("status", SmallInteger, comment="what a refused call was answered with"),
    Column("count", Integer, nullable=False, server_default="1", comment="so many alike"),
    Column("last_at", Instant, comment="of the last of them; null where there is one"),
    Column("details", JSONB),
    Index(None, "key_prefix", "id"),
    Index(
        "security_events_sign_ins_idx",
        "key_prefix",
        "address",
        postgresql_where=text("type = 'sign_in'"),
    ),
    comment="the security log; a trigger lets nobody change a row, and only retention remove one",
)
