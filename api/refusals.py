"""Why a request is not carried out: raised by identity and use cases, translated by HTTP and pages.

Each class needs an entry in `api.http.problems`, which says how it is sent; a test checks that.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from api.rates.policy import Limited
from telemetry.registry.ids import id_of


class Refusal(Exception):  # noqa: N818 - not a fault of ours, but the answer to a request
    """A request is not carried out; `text` says in sentences why, and what to do about it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class NotLetIn(Refusal):
    """The caller is not authenticated."""

    def __init__(self, text: str, *, key_given: bool, is_on_record: bool = False) -> None:
        super().__init__(text)
        self.key_given = key_given
        """Whether a key was given, one that is unknown or no longer valid."""
        self.is_on_record = is_on_record
        """Whether that key was valid once: for the security log, never for the caller."""


class Forbidden(Refusal):
    """The caller has no right to do this."""


class NotFound(Refusal):
    """The thing does not exist, or the caller may not know that it does."""

    def __init__(self, noun: str, id_: object) -> None:
        super().__init__(f"There is no {noun} {id_of(str(id_))}.")


class Conflict(Refusal):
    """The request conflicts with what is on record."""


class StepTaken(Conflict):
    """A step in the life of a shipment is on record, which the request conflicts with."""

    def __init__(self, text: str, shipment_id: str) -> None:
        super().__init__(text)
        self.shipment_id = shipment_id


class Ambiguous(Conflict):
    """Several organizations have something of this id, and the caller sees all of them."""

    def __init__(self, noun: str, id_: str, owners: Iterable[str | None]) -> None:
        whose = sorted(f"of {owner}" if owner is not None else "of nobody" for owner in set(owners))
        super().__init__(f"There are several {noun}s {id_}: {', '.join(whose)}.")


class LoggerExists(Refusal):
    """A logger with this id is already registered."""

    def __init__(self, device_id: str) -> None:
        super().__init__(f"There is a logger {device_id} already.")
        self.device_id = device_id


class Invalid(Refusal):
    """A value is invalid: `fields` says why, by field, so that `f"{field} {why}."` is a sentence.

    Fields have the names of the arguments and attributes they came in; a nested one is written `legs[1].to`.
    """

    def __init__(self, field: str, why: str, *, others: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{field} {why}.")
        self.fields: Mapping[str, str] = {field: why, **(others or {})}


class Unreadable(Refusal):
    """The request cannot be parsed."""


class TooLarge(Refusal):
    """The request is larger than the limit."""


class TooManyTests(Refusal):
    """An address has had its limit of test messages for now."""

    def __init__(self, address: str, *, most: int, within: timedelta) -> None:
        self.address, self.most, self.within = address, most, within
        super().__init__(f"{address} has had {most} tests within {self.minutes} minutes: test again later.")

    @property
    def minutes(self) -> int:
        """The length of the period in which the tests count, in minutes."""
        return int(self.within.total_seconds()) // 60


class TooMany(Refusal):
    """The caller, or its organization, has asked for as much as it may for now."""

    def __init__(self, text: str, *, what: Limited, wait_s: float) -> None:
        super().__init__(text)
        self.what = what
        self.wait_s = wait_s
        """After how many seconds the same request can succeed."""


class TooManyWrongKeys(TooMany):
    """The key is not known, and too many like it came from the same address."""

    def __init__(self, *, wait_s: float, is_on_record: bool = False) -> None:
        self.is_on_record = is_on_record
        super().__init__(
            "This API key is not known, or it has expired or was revoked; and too many wrong keys came from your address. "
            "Look up the right one before you try again.",
            what=Limited.WRONG_KEYS,
            wait_s=wait_s,
        )


class QuotaReached(Refusal):
    """An organization, or an alert, has as many of something as it may have."""

    def __init__(self, text: str, *, what: Limited) -> None:
        super().__init__(text)
        self.what = what


class Unavailable(Refusal):
    """Something that the request needs is unavailable for now; it may succeed later."""
