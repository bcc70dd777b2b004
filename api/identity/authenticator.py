"""Find out who is calling by the API key, with at most one query about every second for each key."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import compare_digest

from sqlalchemy.ext.asyncio import AsyncEngine

from api.identity.access import Principal
from api.identity.keys import COURIER_KEY_LASTS, authenticate, digest, prefix_of
from api.identity.permissions import KeyRole
from api.refusals import NotLetIn

REMEMBERED_S = 0.8
"""How long an answer of the database is trusted: a revoked key stops working within that time, in every process."""
_REMEMBERED_AT_MOST = 10_000
ADMIN = Principal(name="admin-key-setting", role=KeyRole.ADMIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    principal: Principal | None
    until: float


class Authenticator:
    """Finds the principal of the key that a caller sent."""

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        admin_key: str | None,
        clock: Callable[[], datetime],
        courier_key_lasts: timedelta = COURIER_KEY_LASTS,
    ) -> None:
        self._engine = engine
        self._admin = None if admin_key is None else digest(admin_key)
        self._clock = clock
        self._courier_key_lasts = courier_key_lasts
        self._answers: dict[bytes, _Answer] = {}

    async def principal(self, authorization: str | None) -> Principal:
        """Return who is calling, by the value of the Authorization header; refuse whoever is not known."""
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise NotLetIn("This call needs an API key, sent as Authorization: Bearer KEY.", key_given=False)
        principal = await self._principal_of(key.strip())
        if principal is None:
            raise NotLetIn("This API key is not known, or it has expired or was revoked.", key_given=True)
        return principal

    async def _principal_of(self, key: str) -> Principal | None:
        hashed = digest(key)
        if self._admin is not None and compare_digest(hashed, self._admin):
            return ADMIN
        if prefix_of(key) is None:
            return None
        answer = self._answers.get(hashed)
        if answer is None or answer.until < time.monotonic():
            answer = await self._ask(key)
            self._remember(hashed, answer)
        principal, now = answer.principal, self._clock()
        expired = principal is not None and principal.expires_at is not None and principal.expires_at <= now
        return None if expired else principal

    async def _ask(self, key: str) -> _Answer:
        asked_at = time.monotonic()  # the key may be revoked while the answer is on its way
        async with self._engine.begin() as connection:
            principal = await authenticate(
                connection, key, self._clock(), courier_key_lasts=self._courier_key_lasts
            )
        return _Answer(principal=principal, until=asked_at + REMEMBERED_S)

    def _remember(self, hashed: bytes, answer: _Answer) -> None:
        if len(self._answers) >= _REMEMBERED_AT_MOST:
            self._answers.clear()  # somebody is trying keys: what is lost is one query for each good one
        self._answers[hashed] = answer
