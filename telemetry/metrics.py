"""Prometheus metrics of ingest and of the broker connection."""

from prometheus_client import Counter, Gauge, Histogram

_DELAYS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600)
_AGES = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 86400, 7 * 86400, 30 * 86400)
_SIZES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)

MESSAGES = Counter("dewarwatch_messages_received_total", "Messages and HTTP calls validated", ["source"])
STORED = Counter("dewarwatch_readings_stored_total", "Readings stored", ["source"])
DUPLICATES = Counter("dewarwatch_readings_duplicate_total", "Readings already stored", ["source"])
REFUSED = Counter("dewarwatch_refused_total", "Messages and readings refused", ["reason"])
SET_ASIDE = Counter(
    "dewarwatch_set_aside_total",
    "Fields that could not count, beside a temperature that does; `other`: of no known name",
    ["field"],
)
REFUSED_KEPT_BYTES = Counter("dewarwatch_refused_kept_bytes_total", "Bytes kept of what was refused, about")
REFUSED_CUT = Counter("dewarwatch_refused_cut_total", "Refused messages of which not all bytes are kept")
REFUSED_NOT_KEPT = Counter(
    "dewarwatch_refused_not_kept_total", "Refusals over the quota of their origin: only counted", ["reason"]
)
BATCH_READINGS = Histogram("dewarwatch_batch_readings", "Readings per transaction", buckets=_SIZES)
COMMIT_SECONDS = Histogram(
    "dewarwatch_commit_seconds", "Duration of a transaction that stores readings", buckets=_DELAYS
)
COMMIT_LAG_SECONDS = Histogram(
    "dewarwatch_commit_lag_seconds",
    "Time from receipt to commit of the oldest message in each batch",
    buckets=_DELAYS,
)
READING_AGE_SECONDS = Histogram(
    "dewarwatch_reading_age_seconds", "Age of the newest reading in each batch at commit", buckets=_AGES
)
RETRIES = Counter(
    "dewarwatch_ingest_retries_total", "Transactions retried: database unavailable, deadlock, …", ["error"]
)
POISONED = Counter(
    "dewarwatch_ingest_poisoned_total",
    "Messages that passed validation but failed in the database or in our code",
)
UNACKNOWLEDGED = Gauge("dewarwatch_mqtt_unacknowledged", "Messages received but not yet committed")
UNACKNOWLEDGED_BYTES = Gauge(
    "dewarwatch_mqtt_unacknowledged_bytes", "Payload bytes of messages received but not yet committed"
)
LOCKED = Gauge(
    "dewarwatch_loggers_locked", "Loggers whose messages wait because somebody else has locked them"
)
CONNECTED = Gauge("dewarwatch_mqtt_connected", "1 while subscribed at the broker")
CONNECTIONS = Counter("dewarwatch_mqtt_connections_total", "Connections made to the broker")
SUSPENSIONS = Counter(
    "dewarwatch_logger_suspensions_total", "Loggers suspended because they flooded the service", ["reason"]
)
SUSPENDED = Gauge("dewarwatch_loggers_suspended", "Loggers that are suspended now")
DISCARDED = Counter("dewarwatch_mqtt_discarded_total", "Messages of suspended loggers that were discarded")
CLOCK_AHEAD = Gauge(
    "dewarwatch_database_clock_ahead_seconds", "How far the database's clock is ahead of this process's"
)
BROKER_DROPPED = Gauge(
    "dewarwatch_broker_dropped", "Messages that the broker has dropped since it started, by its own count"
)
BROKER_WAITING = Gauge("dewarwatch_broker_waiting", "Messages that the broker holds")
BROKER_WAITING_BYTES = Gauge("dewarwatch_broker_waiting_bytes", "Payload bytes that the broker holds")
BROKER_MEMORY_BYTES = Gauge("dewarwatch_broker_memory_bytes", "Memory that the broker has allocated")
ACKS_SENT = Counter("dewarwatch_mqtt_acks_sent_total", "Messages published on ack topics")
