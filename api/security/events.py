"""Pure: what the security log says; never a secret, nor an address that a message goes to, which may hold one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class SecurityEventType(StrEnum):
    """What happened; the values are part of the public API."""

    SIGN_IN = "sign_in"
    """The first use of a key from an address."""
    REFUSED = "refused"
    """A call was answered with 401, 403 or 404."""
    KEY_CREATED = "key_created"
    KEY_REVOKED = "key_revoked"
    LOGGER_REGISTERED = "logger_registered"
    LOGGER_CREDENTIALS_ROTATED = "logger_credentials_rotated"
    LOGGER_CREDENTIALS_REVOKED = "logger_credentials_revoked"
    LENT = "lent"
    """A logger or a dewar to an organization, whose keys reach it from then on."""
    LOAN_ENDED = "loan_ended"
    WEBHOOK_CREATED = "webhook_created"
    WEBHOOK_CHANGED = "webhook_changed"
    WEBHOOK_DELETED = "webhook_deleted"
    WEBHOOK_SECRET_ROTATED = "webhook_secret_rotated"  # noqa: S105 -- a name
    WEBHOOK_PAUSED = "webhook_paused"
    WEBHOOK_RESUMED = "webhook_resumed"
    WEBHOOK_TESTED = "webhook_tested"
    WEBHOOK_REPLAYED = "webhook_replayed"
    WEBHOOK_ENDED = "webhook_ended"
    """It was disabled because the key that it belongs to was revoked."""
    RECORD_RESTORED = "record_restored"
    """The database went back to an older state, as by a restore: what this log has of the time since is missing, too."""
    NOT_RECORDED = "not_recorded"
    """So many events could not be kept while the database was away; they are in the log of the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityEvent:
    """One event, or `count` alike between `at` and `last_at`."""

    type: SecurityEventType
    at: datetime
    actor: str | None = None
    """As in records: `key:dw_1f0c93ab`; None: nobody who is known."""
    key_prefix: str | None = None
    """Of the key that was used, or that was given and is not valid."""
    address: str | None = None
    """Where the call came from."""
    call: str | None = None
    """Method and address of the route, such as `GET /v1/alerts/{alert_id}`."""
    subject: str | None = None
    """What it was done to: `key:dw_…`, `webhook:…` or `logger:…`."""
    status: int | None = None
    """What the call was answered with, if it was refused."""
    count: int = 1
    last_at: datetime | None = None
    details: Mapping[str, Any] | None = None

    def line(self) -> dict[str, Any]:
        """Return the fields of its log line; those that are empty are left out."""
        fields = {
            "at": self.at.isoformat(),
            "actor": self.actor,
            "key_prefix": self.key_prefix,
            "address": self.address,
            "call": self.call,
            "subject": self.subject,
            "status": self.status,
            "count": self.count,
            "last_at": None if self.last_at is None else self.last_at.isoformat(),
            "details": self.details,
        }
        return {name: value for name, value in fields.items() if value is not None}
