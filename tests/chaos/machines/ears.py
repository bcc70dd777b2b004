"""Whoever is told outside: a webhook's endpoint and a mail server, on a thread of their own."""

import asyncio
import threading
from collections import defaultdict
from email.message import EmailMessage
from typing import Self

from tests.mailboxes import MailServer, mail_server
from tests.receivers import Receiver

WATCH = "watch@ops.example"


class Ears:
    """Takes everything that comes, for as long as the block lasts."""

    hook: Receiver
    mails: MailServer

    def __enter__(self) -> Self:
        self._open = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()), name="ears")
        self._thread.start()
        assert self._open.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()

    async def _listen(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        async with Receiver() as self.hook, mail_server() as self.mails:
            self._open.set()
            await self._done.wait()

    def bodies(self) -> dict[str, set[bytes]]:
        """Every different message that the endpoint got under each id."""
        found: dict[str, set[bytes]] = defaultdict(set)
        for got in list(self.hook.got):
            found[got.id].add(got.body)
        return found

    def mails_of(self, word: str) -> list[str]:
        """The subjects of mails that have a word in them, by subject or text."""
        return [str(mail["Subject"]) for mail in list(self.mails.taken) if word in _text(mail)]


def _text(mail: EmailMessage) -> str:
    parts = [part.get_payload(decode=True) for part in mail.walk() if not part.is_multipart()]
    return "\n".join([str(mail["Subject"]), *(part.decode() for part in parts if isinstance(part, bytes))])
