"""Pure: what the service may do to each table, and what inspectors may not read. A new table needs its line here."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Kept(StrEnum):
    """How the rows of a table are kept, and so what the service's user may do to them. It reads and adds everywhere."""

    FOR_GOOD = "for good"
    """Evidence: never changed, never removed."""
    FOR_A_TIME = "for a time"
    """Evidence until its retention ends: never changed, but removed."""
    UP_TO_DATE = "up to date"
    """Changed in all columns but the key, never removed."""
    WHILE_NEEDED = "while needed"
    """Changed, but for the key, and removed."""


TABLES: Final[Mapping[str, Kept]] = {
    # The registry.
    "organizations": Kept.FOR_GOOD,
    "devices": Kept.UP_TO_DATE,
    "device_revisions": Kept.FOR_GOOD,
    "device_calibrations": Kept.FOR_GOOD,
    "dewars": Kept.UP_TO_DATE,
    "dewar_revisions": Kept.FOR_GOOD,
    "dewar_charges": Kept.UP_TO_DATE,
    "sites": Kept.UP_TO_DATE,
    "site_revisions": Kept.FOR_GOOD,
    "products": Kept.UP_TO_DATE,
    "product_revisions": Kept.FOR_GOOD,
    "shipments": Kept.UP_TO_DATE,
    "shipment_revisions": Kept.FOR_GOOD,
    "device_assignments": Kept.UP_TO_DATE,
    "dewar_assignments": Kept.UP_TO_DATE,
    "device_loans": Kept.UP_TO_DATE,
    "dewar_loans": Kept.UP_TO_DATE,
    # Readings, and what was refused.
    "readings": Kept.FOR_GOOD,
    "device_states": Kept.UP_TO_DATE,
    "device_suspensions": Kept.UP_TO_DATE,
    "logger_credentials": Kept.WHILE_NEEDED,
    "brokers": Kept.FOR_GOOD,
    "logger_sequences": Kept.UP_TO_DATE,
    "database_pulses": Kept.WHILE_NEEDED,
    "database_restorations": Kept.FOR_GOOD,
    "refused_messages": Kept.FOR_A_TIME,
    "refusals": Kept.FOR_A_TIME,
    "refusal_quotas": Kept.WHILE_NEEDED,
    # What is judged, found and done about it.
    "evaluation_marks": Kept.WHILE_NEEDED,
    "evaluations": Kept.UP_TO_DATE,
    "evaluation_states": Kept.UP_TO_DATE,
    "evaluation_safe_points": Kept.WHILE_NEEDED,
    "excursions": Kept.UP_TO_DATE,
    "excursion_revisions": Kept.FOR_GOOD,
    "alerts": Kept.UP_TO_DATE,
    "alert_revisions": Kept.FOR_GOOD,
    "alert_comments": Kept.FOR_GOOD,
    "incidents": Kept.UP_TO_DATE,
    "incident_revisions": Kept.FOR_GOOD,
    "attention": Kept.UP_TO_DATE,
    "attention_marks": Kept.WHILE_NEEDED,
    "service_faults": Kept.WHILE_NEEDED,
    # Who is told.
    "contacts": Kept.UP_TO_DATE,
    "contact_revisions": Kept.FOR_GOOD,
    "policies": Kept.UP_TO_DATE,
    "policy_revisions": Kept.FOR_GOOD,
    "handovers": Kept.FOR_GOOD,
    "escalations": Kept.UP_TO_DATE,
    "notifications": Kept.UP_TO_DATE,
    "notification_attempts": Kept.FOR_GOOD,
    "outbox": Kept.FOR_A_TIME,
    "outbox_pruned": Kept.UP_TO_DATE,
    "event_sequences": Kept.UP_TO_DATE,
    "webhooks": Kept.UP_TO_DATE,
    "webhook_fanout": Kept.UP_TO_DATE,
    "webhook_messages": Kept.FOR_A_TIME,
    "webhook_deliveries": Kept.WHILE_NEEDED,
    "webhook_attempts": Kept.FOR_A_TIME,
    # Who is calling.
    "api_keys": Kept.UP_TO_DATE,
    "idempotent_calls": Kept.WHILE_NEEDED,
    "security_events": Kept.FOR_A_TIME,
}

FILLED_IN: Final[Mapping[str, tuple[str, ...]]] = {}
"""Columns of evidence that may be filled in later, by table; all others stay as they were added."""

SCHEMA_TABLE: Final = "alembic_version"
"""Which revision the schema has: the service reads it, and only migrations write it."""

SECRET: Final[Mapping[str, frozenset[str]]] = {
    "api_keys": frozenset({"hash"}),
    "contacts": frozenset({"channels"}),  # the URL of a chat is all that is needed to write into it
    "contact_revisions": frozenset({"content"}),
    "webhooks": frozenset({"url", "secret", "previous_secret"}),
    "logger_credentials": frozenset({"verifier", "salt"}),
    "idempotent_calls": frozenset({"key_hash", "request_hash", "headers", "answer"}),
}
"""Columns that inspectors do not read: with them one could speak as somebody else."""

FUNCTIONS: Final = ("set_aside_readings(text, text[], timestamptz, text, integer)",)
"""What the service does with the owner's rights, since it has none of its own to do it: each does one thing."""
