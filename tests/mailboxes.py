"""A mail server for tests: real SMTP over TCP that takes, refuses, hangs and drops as it is told, and keeps what it got."""

import asyncio
import contextlib
import ssl
import subprocess
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


class Manner(StrEnum):
    """What the server does with a mail."""

    TAKE = "take"
    BUSY = "busy"
    """450 to the recipient."""
    UNKNOWN = "unknown"
    """550 to the recipient."""
    SPAM = "spam"
    """554 to the content."""
    FULL = "full"
    """452 to the content."""
    HANG = "hang"
    """No answer to the content."""
    DROP = "drop"
    """The connection is cut before the content is kept."""
    TAKE_AND_DROP = "take_and_drop"
    """The content is kept, and the connection cut before that is said."""


TAKES = frozenset({Manner.TAKE, Manner.TAKE_AND_DROP})
_ANSWERS = {
    Manner.BUSY: "450 4.2.1 mailbox busy",
    Manner.UNKNOWN: "550 5.1.1 no such mailbox",
    Manner.SPAM: "554 5.7.1 we do not like it",
    Manner.FULL: "452 4.3.1 disk full",
    Manner.TAKE: "250 2.0.0 taken",
}
Script: TypeAlias = Callable[[str], Manner]
"""From the recipient's address to a manner, asked anew for each mail."""


@dataclass
class MailServer:
    """What the server is to do, and what it got."""

    manners: Script
    port: int = 0
    taken: list[EmailMessage] = field(default_factory=list)
    tried: int = 0
    encrypted: list[bool] = field(default_factory=list)
    users: list[bytes] = field(default_factory=list)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ids(self) -> list[str]:
        return [str(mail["Message-ID"]) for mail in self.taken]

    async def until(self, condition: Callable[[], bool], patience_s: float = 20.0) -> None:
        """Waits for what arrives."""
        async with asyncio.timeout(patience_s):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()

    def arrived(self) -> None:
        self._arrived.set()


@dataclass
class _Handler:
    """What aiosmtpd asks. Apart from the state: it looks at all members of its handler for each connection."""

    state: MailServer
    manner: dict[int, Manner] = field(default_factory=dict)

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.state.tried += 1
        manner = self.manner[id(envelope)] = self.state.manners(address)
        self.state.arrived()
        if manner in {Manner.BUSY, Manner.UNKNOWN}:
            return _ANSWERS[manner]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        manner = self.manner.pop(id(envelope))
        if manner is Manner.HANG:
            await asyncio.Event().wait()
        if manner in TAKES:
            self.state.taken.append(message_from_bytes(envelope.original_content, policy=policy.default))
            self.state.encrypted.append(session.ssl is not None)
            self.state.arrived()
        if manner in {Manner.DROP, Manner.TAKE_AND_DROP}:
            server.transport.abort()
            return "421 gone"
        return _ANSWERS[manner]

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        right = isinstance(data, LoginPassword) and data.password == b"p@ss word"
        if right:
            self.state.users.append(data.login)
        return AuthResult(success=right, handled=False)


@contextlib.asynccontextmanager
async def mail_server(
    manners: Script | Manner = Manner.TAKE,
    *,
    tls: ssl.SSLContext | None = None,
    port: int = 0,
    **options: Any,
) -> AsyncIterator[MailServer]:
    """One server for as long as the block lasts; with `tls` it offers STARTTLS."""
    state = MailServer(manners if callable(manners) else lambda _: manners)
    loop = asyncio.get_running_loop()
    handler = _Handler(state)
    open_: weakref.WeakSet[SMTP] = weakref.WeakSet()

    def connection() -> SMTP:
        made = SMTP(
            handler, tls_context=tls, authenticator=handler.authenticate, loop=loop, timeout=60, **options
        )
        open_.add(made)
        return made

    server = await loop.create_server(connection, "127.0.0.1", port)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for one in list(open_):
            if one.transport is not None:
                one.transport.abort()
        await server.wait_closed()


def certificate(folder: Path) -> Path:
    """Makes a certificate for 127.0.0.1 with its key, in one file."""
    path = folder / "mail.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=127.0.0.1",
            ),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + (folder / "cert.pem").read_text())
    return path
