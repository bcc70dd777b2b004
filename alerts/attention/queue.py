"""The queue of scopes whose alerts may ask something of people: a trigger on alerts marks them, and timers are deadlines.

A scope is a shipment, or the fleet. Its row is made by whoever first decides about it.
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
