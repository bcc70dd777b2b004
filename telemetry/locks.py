"""Pure: every advisory lock of the service by name, with the number of its space.

PostgreSQL keeps locks on two integers apart from locks on one bigint. A text key is locked by its hash: as
`(space, hashtext(key))` in a space of the first kind, as `hashtextextended(key, space)` in one of the second. The
numbers never change, because two versions of the service may run side by side.
"""

from enum import IntEnum, unique


@unique
class LockSpace(IntEnum):
    """The lock spaces; no two have the same number."""

    # On two integers: the space, and a number or the hash of a key.
    INGESTER_SLOTS = 0x64776967  # "dwig"
    """By slot: the right to be the ingester with that number."""
    EVALUATION = 0x64776576  # "dwev"
    """By shipment: the right to evaluate it."""
    ATTENTION = 0x64776174  # "dwat"
    """By scope, which is a shipment or the fleet: the right to decide about its alerts."""

    # On one bigint, which is the space itself.
    SCHEMA = 0x6465776172  # "dewar"
    """Any change of the schema."""
    FLEET_OUTAGE = 0xF1EE7
    """The check whether the fleet as a whole is silent."""
    SERVICE_FAULTS = 0xFA17
    """The look at what processes say does not work."""
    PULSES = 0x647770756C7365  # "dwpulse"
    """The next pulse of the database, and the finding that it went back."""
    OUTBOX_POSITIONS = 0x64776F7574626F78  # "dwoutbox"
    """The next position in the outbox, held until the commit; taken by the trigger `place_in_outbox`."""

    # On one bigint, which is the hash of a key with the space as its seed.
    RECIPIENTS = 7
    """By recipient: the count of recent notifications."""
    TEST_MESSAGES = 8
    """By address: the count of recent test messages."""
    QUOTAS = 0x64777175  # "dwqu"
    """By organization and what is counted: how many of it there are."""
