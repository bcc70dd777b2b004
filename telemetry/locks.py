"""Every advisory lock that a program of ours takes in the database, by name: the number of its space, and what it locks.

PostgreSQL keeps locks by two integers apart from locks by one bigint. A key that is a text is locked by its hash: in a
space of the first kind as `(space, hashtext(key))`, in one of the second as `hashtextextended(key, space)`. The numbers
stay as they are, since programs of two versions may run beside each other.
"""

from enum import IntEnum, unique


@unique
class LockSpace(IntEnum):
    """The spaces; no two have one number."""

    # By two integers: the space, and a number or the hash of a key.
    INGESTER_SLOTS = 0x64776967  # "dwig"
    """By slot: the right to be the ingester of that number."""
    EVALUATION = 0x64776576  # "dwev"
    """By shipment: the right to evaluate it."""
    ATTENTION = 0x64776174  # "dwat"
    """By scope, a shipment or the fleet: the right to decide what its alerts ask of people."""

    # By one bigint, which is the space itself.
    SCHEMA = 0x6465776172  # "dewar"
    """Whatever changes the schema."""
    FLEET_OUTAGE = 0xF1EE7
    """The look at whether the fleet as a whole is heard."""
    OUTBOX_POSITIONS = 0x64776F7574626F78  # "dwoutbox"
    """The next position in the outbox, until the commit; taken by the trigger `place_in_outbox`."""

    # By one bigint, which is the hash of a key with the space as its seed.
    RECIPIENTS = 7
    """By recipient: the count of what they were told lately."""
    TEST_MESSAGES = 8
    """By address: the count of the test messages that it got lately."""
    WEBHOOK_COUNTS = 0x3EB
    """By organization: the count of its webhooks."""
