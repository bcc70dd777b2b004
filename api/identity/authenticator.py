"""Find out who is calling by the API key, with at most one query about every second for each key."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import compare_digest

from sqlalchemy.ext.asyncio import AsyncEngine

from api.identity.access import Principal
from api.identity.keys import COURIER_KEY_LASTS, ENDED, authenticate, digest, prefix_of
from api.identity.permissions import KeyRole
from api.identity.sieve import Sieve
from api.rates.policy import Rates
from api.rates.wrong_keys import LetIn, WrongKeys
from api.refusals import NotLetIn, TooManyWrongKeys

REMEMBERED_S = 0.8
"""How long an answer of the database is trusted: a revoked key stops working within that time, in every process."""
_REMEMBERED_AT_MOST = 10_000
_KNOWN_S = 3600.0
"""For how long a key that was right need not wait where wrong ones come from."""
ADMIN = Principal(name="admin-key-setting", role=KeyRole.ADMIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    principal: Principal | None
    until: float
    has_ended: bool = False
    """The key is on record, and expired or revoked."""


class Authenticator:
    """Finds the principal of the key that a caller sent."""

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        admin_key: str | None,
        clock: Callable[[], datetime],
        courier_key_lasts: timedelta = COURIER_KEY_LASTS,
        wrong_keys: WrongKeys | None = None,
    ) -> None:
        self._engine = engine
        self._admin = None if admin_key is None else digest(admin_key)
        self._clock = clock
        self._courier_key_lasts = courier_key_lasts
        self._answers: dict[bytes, _Answer] = {}
        self._wrong_keys = wrong_keys or WrongKeys(Rates().wrong_keys_of_address)
        self._let_in = LetIn(for_s=_KNOWN_S)
        self._sieve = Sieve(engine)

    async def principal(self, authorization: str | None, address: str | None = None) -> Principal:
        """Return who is calling, by the value of the Authorization header; refuse whoever is not known.

        Where too many wrong keys come from an `address`, further ones wait, and cost next to nothing. Right ones are let
        in all the same, at once if they were right not long ago.
        """
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise NotLetIn("This call needs an API key, sent as Authorization: Bearer KEY.", key_given=False)
        principal = await self._principal_of(key.strip(), address)
        if principal is None:
            ended = self._is_on_record(key.strip())
            wait_s = None if address is None else self._wrong_keys.wait_s(address, time.monotonic())
            if wait_s is None:
                raise NotLetIn(
                    "This API key is not known, or it has expired or was revoked: ask the operator of the service for a new one.",
                    key_given=True,
                    is_on_record=ended,
                )
            raise TooManyWrongKeys(wait_s=wait_s, is_on_record=ended)
        return principal

    def _is_on_record(self, key: str) -> bool:
        """Return whether a key that was just not let in was valid once."""
        answer = self._answers.get(digest(key))
        return answer is not None and (answer.has_ended or answer.principal is not None)

    async def _principal_of(self, key: str, address: str | None) -> Principal | None:
        hashed = digest(key)
        if self._admin is not None and compare_digest(hashed, self._admin):
            return ADMIN
        if address is None or self._let_in.has(hashed, time.monotonic()):
            return await self._looked_up(key, hashed)
        return await self._suspected(key, hashed, address)

    async def _suspected(self, key: str, hashed: bytes, address: str) -> Principal | None:
        """Look up a key that may be one of many wrong ones; too many wait, and go through the sieve first."""
        suspicion = self._wrong_keys.suspect(address, hashed, time.monotonic())
        try:
            if suspicion.delay_s:
                await asyncio.sleep(suspicion.delay_s)
            is_first_of_few = suspicion.is_counted and not suspicion.delay_s
            principal = (
                await self._looked_up(key, hashed)
                if is_first_of_few or await self._may_be_right(key, hashed)
                else None
            )
        except BaseException:
            self._wrong_keys.clear(address, hashed, time.monotonic())
            raise
        if principal is not None:
            self._wrong_keys.clear(address, hashed, time.monotonic())
        return principal

    async def _may_be_right(self, key: str, hashed: bytes) -> bool:
        """Return whether a key is worth a query of its own: whoever goes on with a wrong one costs next to none."""
        answer = self._answers.get(hashed)
        if answer is not None and answer.until >= time.monotonic():
            return True
        asked_at = time.monotonic()
        if await self._sieve.has(key):
            return True
        self._remember(hashed, _Answer(principal=None, until=asked_at + REMEMBERED_S))
        return False

    async def _looked_up(self, key: str, hashed: bytes) -> Principal | None:
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
            found = await authenticate(
                connection, key, self._clock(), courier_key_lasts=self._courier_key_lasts
            )
        principal, until = found if isinstance(found, Principal) else None, asked_at + REMEMBERED_S
        return _Answer(principal=principal, until=until, has_ended=found is ENDED)

    def _remember(self, hashed: bytes, answer: _Answer) -> None:
        if answer.principal is None:
            self._let_in.forget(hashed)
        else:
            self._let_in.note(hashed, time.monotonic())
        if len(self._answers) >= _REMEMBERED_AT_MOST:
            self._answers.clear()  # somebody is trying keys: what is lost is one query for each good one
        self._answers[hashed] = answer
