"""Why something that somebody asked for is not done: said by identity and use cases, sent by HTTP and shown by pages.

Whoever adds a class says in `api.http.problems` how it is sent; a test sees to it.
"""

from collections.abc import Mapping
from datetime import timedelta


class Refusal(Exception):  # noqa: N818 - not an error of ours: the answer to what was asked
    """Something is not done; `text` says why, and what to do about it, in sentences."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class NotLetIn(Refusal):
    """Nobody whom we know is asking."""

    def __init__(self, text: str, *, key_given: bool) -> None:
        super().__init__(text)
        self.key_given = key_given
        """Whether there was a key, which is none of ours or not any more."""


class Forbidden(Refusal):
    """Whoever is asking has no right to it."""


class NotFound(Refusal):
    """There is no such thing, or whoever is asking may not know that there is."""

    def __init__(self, noun: str, id_: object) -> None:
        super().__init__(f"There is no {noun} {id_}.")


class Conflict(Refusal):
    """It does not go together with what is on record."""


class LoggerExists(Refusal):
    """A logger of this id is registered already."""

    def __init__(self, device_id: str) -> None:
        super().__init__(f"There is a logger {device_id} already.")
        self.device_id = device_id


class Invalid(Refusal):
    """A value makes no sense: `fields` says what is wrong with each, such that `f"{field} {why}."` is a sentence.

    Fields have the names of the arguments and attributes that they came in by; `legs[1].to` is inside of one.
    """

    def __init__(self, field: str, why: str, *, others: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{field} {why}.")
        self.fields: Mapping[str, str] = {field: why, **(others or {})}


class Unreadable(Refusal):
    """What was sent cannot be read."""


class TooLarge(Refusal):
    """What was sent is more than is taken at once."""


class TooManyTests(Refusal):
    """An address has had as many test messages lately as one may have."""

    def __init__(self, address: str, *, most: int, within: timedelta) -> None:
        self.address, self.most, self.within = address, most, within
        super().__init__(f"{address} has had {most} tests within {self.minutes} minutes: test again later.")

    @property
    def minutes(self) -> int:
        """The time within which the tests were, in minutes."""
        return int(self.within.total_seconds()) // 60


class Unavailable(Refusal):
    """Something that it takes is away for now: the same may be done later."""
