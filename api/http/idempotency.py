"""Calls that are sent twice are done once: a POST with an `Idempotency-Key` is answered the same for a day.

What the call does, and the answer to it, are one transaction. So whatever dies in between, either both are there or
neither is, and the call can be sent again. Of two at once, the second waits for the first and gets its answer. What is
refused leaves nothing: the key is free again.

An answer may hold a secret that is shown once. It is stored encrypted under a key that only who sent the call has: it is
derived from the caller's credential and the `Idempotency-Key`, of which the database knows hashes.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.requests import Request
from starlette.responses import Response

from api.http.problems import FieldError, Problem
from api.http.services import Services
from api.identity.access import Principal
from api.transactions import begin

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
KEPT_FOR: Final = "24 hours"
OUTSIDE: Final = frozenset({"POST /v1/backtests", "POST /v1/readings"})
"""Calls that work in transactions of their own; of either, twice is as good as once."""

_KEY: Final = re.compile(r"[!-~]{1,255}")
_NONCE: Final = 12
_KEPT_HEADERS: Final = ("content-type", "location")

# The unique key is the lock: whoever comes second waits here until the first is done.
_TAKE: Final = text(
    f"""
    INSERT INTO idempotent_calls AS c (caller, key_hash, request_hash) VALUES (:caller, :key_hash, :request_hash)
    ON CONFLICT (caller, key_hash) DO UPDATE
        SET request_hash = excluded.request_hash, made_at = clock_timestamp(), status = NULL, headers = NULL, answer = NULL
        WHERE c.made_at < clock_timestamp() - interval '{KEPT_FOR}'
    RETURNING true
    """  # noqa: S608 - our own words
)
_FIND: Final = text(
    "SELECT request_hash, status, headers, answer FROM idempotent_calls WHERE caller = :caller AND key_hash = :key_hash"
)
_KEEP: Final = text(
    """
    UPDATE idempotent_calls SET status = :status, headers = CAST(:headers AS text[]), answer = :answer
    WHERE caller = :caller AND key_hash = :key_hash
    """
)

Handler = Callable[[Request], Awaitable[Response]]


class _Seal:
    """Encrypts answers for whoever sent the call."""

    def __init__(self, request: Request, key: str) -> None:
        credential = request.headers.get("authorization", "")
        derived = hmac.digest(credential.encode(), b"dewarwatch idempotent answer\0" + key.encode(), "sha256")
        self._cipher = AESGCM(derived)

    def closed(self, answer: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, answer, None)

    def opened(self, stored: bytes) -> bytes | None:
        try:
            return self._cipher.decrypt(stored[:_NONCE], stored[_NONCE:], None)
        except InvalidTag:
            return None


async def answered_once(
    request: Request, call: str, principal: Principal, services: Services, handler: Handler
) -> Response:
    """Answer a call; one with an `Idempotency-Key` that was answered before, as it was then."""
    key = request.headers.get(HEADER)
    if key is None or request.method != "POST":
        return await handler(request)
    if not _KEY.fullmatch(key):
        raise _wrong_key("must be 1 to 255 visible ASCII characters without spaces, such as a UUID")
    seal = _Seal(request, key)
    which = {"caller": principal.name, "key_hash": _hash(key.encode())}
    asked = _hash(
        b"\0".join(
            [call.encode(), str(request.url.path).encode(), request.url.query.encode(), await request.body()]
        )
    )
    async with begin(services.engine) as connection:
        if not await connection.scalar(_TAKE, {**which, "request_hash": asked}):
            found = (await connection.execute(_FIND, which)).mappings().one()
            return _again(found, asked, seal)
        if call not in OUTSIDE:
            request.state.services = replace(services, engine=JoinedEngine.of(connection))
        response = await handler(request)
        headers = [f"{name}: {response.headers[name]}" for name in _KEPT_HEADERS if name in response.headers]
        answer = seal.closed(bytes(response.body))
        await connection.execute(
            _KEEP, {**which, "status": response.status_code, "headers": headers, "answer": answer}
        )
    return response


def _again(found: RowMapping, asked: bytes, seal: _Seal) -> Response:
    if found["request_hash"] != asked:
        raise _wrong_key(
            "was sent with another call before, with another body or to another address: each call has a key of its own"
        )
    answer = None if found["answer"] is None else seal.opened(found["answer"])
    if answer is None:
        raise Problem(409, "The call with this Idempotency-Key is done, but was answered to another session.")
    response = Response(answer, status_code=found["status"])
    for line in found["headers"]:
        name, _, value = line.partition(": ")
        response.headers[name] = value
    response.headers[REPLAYED] = "true"
    return response


def _wrong_key(why: str) -> Problem:
    error = FieldError(field=HEADER, detail=why, place="header")
    return Problem(422, f"{HEADER} {why}.", errors=[error])


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


class JoinedEngine(AsyncEngine):
    """An engine whose transactions are part of one that is open: they are committed with it, or not at all."""

    __slots__ = ("_outer",)
    _outer: AsyncConnection

    @classmethod
    def of(cls, outer: AsyncConnection) -> Self:
        """Return one for a connection with an open transaction."""
        engine = cls(outer.engine.sync_engine)
        engine._outer = outer
        return engine

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Open a savepoint in the transaction."""
        async with self._outer.begin_nested():
            yield self._outer

    def connect(self) -> Any:
        """Return the connection, which sees what was done in the transaction."""
        return self._connected()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        yield self._outer
