"""The queue of scopes that need a decision: a trigger on alerts marks them, and timers are their deadlines.

A scope is a shipment, or the fleet. Its row is created when it is first decided about.
"""

from typing import Final

from alerts.work.due_queue import DueQueue
from telemetry.channels import NotifyChannel
from telemetry.locks import LockSpace

ATTENTION: Final = DueQueue(
    channel=NotifyChannel.ATTENTION,
    lock_space=LockSpace.ATTENTION,
    marks="attention_marks",
    rows="attention",
    key="scope",
    deadline="attend_at",
)
