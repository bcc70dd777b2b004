"""Sends mails through the mail server; whatever happens is a result."""

import asyncio
import ssl
import time
from email.message import EmailMessage
from typing import Final

import aiosmtplib

from alerts.notifications.mail_server import Encryption, Relay
from alerts.notifications.retry import Outcome, Result

TIME_LIMIT_S: Final = 30.0
_START_TLS: Final = {
    Encryption.TLS: False,
    Encryption.REQUIRED: True,
    Encryption.OFFERED: None,
    Encryption.NEVER: False,
}
_LONGEST_DETAIL: Final = 500


class Mailer:
    """Sends through one server, with a connection for each mail, so that one that hangs holds up no other."""

    def __init__(
        self, relay: Relay, *, time_limit_s: float = TIME_LIMIT_S, tls: ssl.SSLContext | None = None
    ) -> None:
        self._relay = relay
        self._time_limit_s = time_limit_s
        self._tls = tls or ssl.create_default_context()
        self.trouble: str | None = None
        """What went wrong with the last mail, unless the recipient was at fault; None if it was accepted."""
        self._domain = "localhost"
        """Which the server is told: that of the sender."""
        self.is_away = False
        """Whether there was no connection at the last try, or no way past the account."""

    async def send(self, mail: EmailMessage) -> Result:
        """Send a mail to its one recipient."""
        began = time.monotonic()
        outcome, said = await self._result(mail)
        detail = _line(said)
        self.trouble = detail if outcome is Outcome.LATER else None
        return Result(outcome=outcome, detail=detail, seconds=time.monotonic() - began)

    async def is_back(self) -> bool:
        """Return whether a server that was away can be used again, without sending anything."""
        try:
            async with asyncio.timeout(self._time_limit_s):
                client = await self._connect()
        except (aiosmtplib.SMTPException, OSError, ValueError, TimeoutError):
            return False
        client.close()
        return True

    async def _result(self, mail: EmailMessage) -> tuple[Outcome, str]:
        try:
            async with asyncio.timeout(self._time_limit_s):
                return Outcome.SENT, await self._hand_over(mail)
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused = error.recipients[0]
            return _by_code(refused.code), f"the recipient was refused: {refused.code} {refused.message}"
        except aiosmtplib.SMTPDataError as error:
            return _by_code(error.code), f"the mail was refused: {error.code} {error.message}"
        except aiosmtplib.SMTPResponseException as error:
            # The account, the sender or the server is at fault, not this recipient.
            return Outcome.LATER, f"the mail server refused: {error.code} {error.message}"
        except TimeoutError:
            return Outcome.LATER, f"the mail server did not answer within {self._time_limit_s:g} s"
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return Outcome.LATER, f"the mail server could not be used: {error}"

    async def _connect(self) -> aiosmtplib.SMTP:
        relay = self._relay
        client = aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            username=relay.username,
            password=relay.password,
            local_hostname=self._domain,
            timeout=self._time_limit_s,
            use_tls=relay.encryption is Encryption.TLS,
            start_tls=_START_TLS[relay.encryption],
            tls_context=self._tls,
        )
        self.is_away = True  # until there is a connection
        try:
            await client.connect()
        except BaseException:
            client.close()
            raise
        self.is_away = False
        return client

    async def _hand_over(self, mail: EmailMessage) -> str:
        self._domain = mail["From"].addresses[0].domain
        client = await self._connect()
        try:
            # The bytes as composed: a message object would be folded anew, which can break names.
            _, answer = await client.sendmail(_envelope(mail, "From"), [_envelope(mail, "To")], bytes(mail))
        finally:
            client.close()  # taken is taken: nobody waits for a farewell
        return answer


def _envelope(mail: EmailMessage, header: str) -> str:
    return str(mail[header].addresses[0].addr_spec)


def _by_code(code: int) -> Outcome:
    """Return whether a refusal passes: 5xx is for good (RFC 5321, 4.2.1)."""
    return Outcome.REFUSED if 500 <= code < 600 else Outcome.LATER


def _line(text: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:_LONGEST_DETAIL]
