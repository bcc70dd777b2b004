"""Pure: every LISTEN/NOTIFY channel by name; a notification only wakes a loop, and the work is in the tables."""

from enum import StrEnum, unique


@unique
class NotifyChannel(StrEnum):
    """The channels, and what a notification on each means."""

    EVALUATION = "dewarwatch_evaluate"
    """Shipments were marked as due for evaluation."""
    ATTENTION = "dewarwatch_attend"
    """The alerts of a scope changed, and it was marked; also sent by the trigger `note_attention`."""
    OUTBOX = "dewarwatch_outbox"
    """Events got their position in the outbox; sent by the trigger `place_in_outbox`."""
    WEBHOOKS = "dewarwatch_webhooks"
    """Messages wait to be sent to a partner's endpoint; or, if it names one, an endpoint is no longer what it was."""
    KEYS = "dewarwatch_keys"
    """A key was revoked: streams that it has opened end."""
    NOTIFICATIONS = "dewarwatch_notifications"
    """Notifications wait to be sent to people."""
