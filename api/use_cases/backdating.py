"""How far back each caller may say that something happened."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from api.identity.access import Principal
from api.identity.permissions import KeyRole
from api.refusals import Invalid


def may_override(caller: Principal) -> bool:
    """Return whether a caller may record what contradicts the record, with a reason: who is on the way may not."""
    return caller.role is not KeyRole.COURIER


@dataclass(frozen=True, slots=True, kw_only=True)
class Backdating:
    """Couriers set times back by minutes only; whoever sets a delivery back by hours takes hours out of the record."""

    courier: timedelta = timedelta(minutes=15)

    def is_far(self, at: datetime, now: datetime) -> bool:
        """Return whether a time lies further back than somebody on the way may say."""
        return at < now - self.courier

    def check(self, caller: Principal, at: datetime, now: datetime, *, field: str = "at") -> None:
        """Refuse a time that lies further back than the caller may say."""
        if may_override(caller) or not self.is_far(at, now):
            return
        most = f"{self.courier.total_seconds() / 60:g} minutes"
        raise Invalid(
            field,
            f"is more than {most} ago, and couriers may backdate by at most {most}: "
            "ask somebody with a key of the role ops to record it",
        )


BY_DEFAULT: Final = Backdating()
