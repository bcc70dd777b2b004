"""The queue of shipments that are due for evaluation: new readings mark them, and timers are deadlines."""

from typing import Final

from alerts.work.due_queue import DueQueue, Selection
from telemetry.channels import NotifyChannel
from telemetry.locks import LockSpace

EVALUATIONS: Final = DueQueue(
    channel=NotifyChannel.EVALUATION,
    lock_space=LockSpace.EVALUATION,
    marks="evaluation_marks",
    rows="evaluations",
    key="shipment_id",
    deadline="evaluate_at",
    done_at="evaluated_at",
    mark_columns=("shipment_id", "device_id", "dirty_from"),
)

# What loggers bring back from a flight is much, and hours old: live data does not wait for it.
LIVE: Final = Selection(marks="NOT late")
PAST: Final = Selection(marks="late", deadlines=False, waits=True)
