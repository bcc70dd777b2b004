"""The metrics of evaluation, attention and delivery."""

from prometheus_client import Counter, Gauge, Histogram

_DELAYS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600)

EVALUATED = Counter("dewarwatch_shipments_evaluated_total", "Evaluations of a shipment")
EVALUATION_FAILED = Counter(
    "dewarwatch_evaluations_failed_total", "Evaluations of a shipment that raised an error"
)
READINGS_FOLDED = Counter("dewarwatch_readings_folded_total", "Readings folded, again ones included")
REFOLDED = Counter(
    "dewarwatch_loggers_refolded_total",
    "Evaluations of a logger that went on from another state than its newest: the first, and after late data",
)
CYCLE_SECONDS = Histogram(
    "dewarwatch_evaluation_cycle_seconds", "One claim, load, fold, save", buckets=_DELAYS
)
EVALUATION_LAG_SECONDS = Histogram(
    "dewarwatch_evaluation_lag_seconds", "From a reading's transaction to its evaluation", buckets=_DELAYS
)
DETECTION_DELAY_SECONDS = Histogram(
    "dewarwatch_detection_delay_seconds",
    "From the receipt of the newest reading of a device to the record of an excursion it opened",
    buckets=_DELAYS,
)
EXCURSION_CHANGES = Counter("dewarwatch_excursion_changes_total", "Steps in excursions' records", ["kind"])
JUDGING_PROCESS_FAILED = Counter(
    "dewarwatch_judging_process_failures_total",
    "Times that the process that judges the past could not begin, ended or did not answer",
)
RULE_FAILED = Counter("dewarwatch_rule_failures_total", "Rules that failed on a shipment", ["rule"])
ALERTS_HELD_BACK = Counter(
    "dewarwatch_alerts_held_back_total", "Looks at a silence that one alert for the fleet stands for"
)
ALERT_CHANGES = Counter("dewarwatch_alert_changes_total", "Decisions about alerts", ["kind", "state"])
MARKS_WAITING = Gauge(
    "dewarwatch_evaluation_marks_waiting", "Marks of new readings that are not evaluated yet"
)
OUTBOX_AGE_SECONDS = Gauge(
    "dewarwatch_outbox_age_seconds",
    "Age of the oldest event not yet handed on to webhooks; 0 where none waits",
)
OUTBOX_PRUNED = Counter("dewarwatch_outbox_pruned_total", "Events removed after their retention")
OUTBOX_KEPT_BACK = Gauge(
    "dewarwatch_outbox_kept_back", "Events past their retention that are kept, as they were not handed on yet"
)
WEBHOOK_ATTEMPTS = Counter("dewarwatch_webhook_attempts_total", "Messages sent to an endpoint", ["outcome"])
WEBHOOK_FIRST_ATTEMPT_SECONDS = Histogram(
    "dewarwatch_webhook_first_attempt_seconds", "From an event to its first attempt", buckets=_DELAYS
)
WEBHOOK_ATTEMPT_SECONDS = Histogram(
    "dewarwatch_webhook_attempt_seconds", "One attempt, answer included", buckets=_DELAYS
)
WEBHOOK_CONNECTIONS_LOST = Counter(
    "dewarwatch_webhook_connections_lost_total",
    "Connections that the endpoint closed as they were used again: the request went out once more by a new one",
)
WEBHOOKS_WAITING = Gauge("dewarwatch_webhooks_waiting", "Messages that wait for an endpoint that is active")
WEBHOOKS_OLDEST_SECONDS = Gauge(
    "dewarwatch_webhooks_oldest_seconds", "Age of the oldest of them; 0 where none waits"
)
WEBHOOKS_EXHAUSTED = Counter(
    "dewarwatch_webhooks_exhausted_total", "Messages that were tried for the last time, and kept"
)
WEBHOOKS_FENCED = Counter(
    "dewarwatch_webhooks_fenced_total", "Attempts whose lease had ended: sent by somebody else as well"
)
WEBHOOKS_DROPPED = Counter(
    "dewarwatch_webhooks_dropped_total",
    "Messages removed after their retention although their endpoint had not accepted them",
)
WEBHOOKS_DISABLED = Counter("dewarwatch_webhooks_disabled_total", "Endpoints that were switched off")
NOTIFICATION_ATTEMPTS = Counter(
    "dewarwatch_notification_attempts_total", "Tries to tell somebody", ["channel", "outcome"]
)
NOTIFICATION_ATTEMPT_SECONDS = Histogram(
    "dewarwatch_notification_attempt_seconds", "One try to tell somebody", ["channel"], buckets=_DELAYS
)
NOTIFICATION_DELAY_SECONDS = Histogram(
    "dewarwatch_notification_delay_seconds",
    "From the decision to tell somebody until it is sent",
    buckets=_DELAYS,
)
NOTIFICATIONS_WAITING = Gauge("dewarwatch_notifications_waiting", "Notifications that are not sent yet")
NOTIFICATIONS_OLDEST_SECONDS = Gauge(
    "dewarwatch_notifications_oldest_seconds", "Age of the oldest of them; 0 where none waits"
)
NOTIFICATIONS_FAILED = Counter(
    "dewarwatch_notifications_failed_total",
    "Notifications that were given up: somebody was not told",
    ["channel"],
)
NOTIFICATIONS_FENCED = Counter(
    "dewarwatch_notifications_fenced_total", "Tries whose lease had ended: sent by somebody else as well"
)
FAULT_SECONDS = Gauge(
    "dewarwatch_fault_seconds", "For how long a part of this process has not worked; 0 if it works", ["part"]
)
ATTENDED = Counter(
    "dewarwatch_scopes_attended_total", "Shipments, or the fleet, whose alerts were attended to"
)
ATTENTION_FAILED = Counter(
    "dewarwatch_attention_failed_total", "Times that this failed; the error is in the table attention"
)
ATTENTION_LAG_SECONDS = Histogram(
    "dewarwatch_attention_lag_seconds", "From a change of an alert until it is attended to", buckets=_DELAYS
)
INCIDENT_CHANGES = Counter("dewarwatch_incident_changes_total", "Decisions about incidents", ["reason"])
NOTIFICATIONS = Counter(
    "dewarwatch_notifications_total", "Decisions to tell somebody, or not to", ["state", "reason"]
)
CLOCK_STEPS = Counter(
    "dewarwatch_database_clock_steps_total",
    "Times that the database's clock was set by more than a second",
    ["direction"],
)
DEADLINES_MENDED = Counter(
    "dewarwatch_deadlines_mended_total",
    "Deadlines that the database's clock had set while it was ahead, and that were set right",
    ["queue"],
)
STUCK_ENDED = Counter(
    "dewarwatch_stuck_connections_ended_total",
    "Connections of ours that were ended because their process did not read what it had asked for",
)
NOBODY_TO_TELL = Gauge(
    "dewarwatch_nobody_to_tell",
    "Incidents of which nobody could be told: register a contact with last_resort",
)
