"""Every channel of LISTEN and NOTIFY by name; a notification only wakes, and what there is to do is in the tables."""

from enum import StrEnum, unique


@unique
class NotifyChannel(StrEnum):
    """The channels, by what whoever listens has to do."""

    EVALUATION = "dewarwatch_evaluate"
    """Shipments were marked as due for evaluation."""
    ATTENTION = "dewarwatch_attend"
    """Scopes were marked because their alerts changed; also sent by the trigger `note_attention`."""
    OUTBOX = "dewarwatch_outbox"
    """Events got their position; sent by the trigger `place_in_outbox`."""
    WEBHOOKS = "dewarwatch_webhooks"
    """Messages wait for an endpoint of a partner."""
    NOTIFICATIONS = "dewarwatch_notifications"
    """Notifications wait to be sent to people."""
