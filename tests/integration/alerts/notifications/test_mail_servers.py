"""The ways to a mail server: plain, STARTTLS, with and without an account, and what goes wrong on them."""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alerts.notifications.mail import address, compose
from alerts.notifications.mail_server import parse
from alerts.notifications.retry import Outcome, Result
from alerts.notifications.smtp import Mailer
from tests.conftest import free_port
from tests.mailboxes import Manner, certificate, mail_server


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("mail"))


@pytest.fixture
def tls(pem: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    return context


async def send(url: str, trusts: Path | None = None, time_limit_s: float = 5.0) -> Result:
    mail = compose(
        notification_id="n1", incident_id=None, sender=address("a@dewars.example"), to=address("b@x.example"), to_name=None,
        subject="s", text="−150 °C\n.\n", html="<p></p>", at=datetime(2026, 11, 21, tzinfo=UTC), urgent=False,
    )  # fmt: skip
    context = ssl.create_default_context(cafile=trusts)
    return await Mailer(parse(url), time_limit_s=time_limit_s, tls=context).send(mail)


async def test_starttls_is_used_where_it_is_offered(tls: ssl.SSLContext, pem: Path) -> None:
    async with mail_server(tls=tls) as server:
        assert (await send(f"smtp://127.0.0.1:{server.port}", pem)).outcome is Outcome.SENT
        assert (await send(f"smtp://127.0.0.1:{server.port}?starttls=never", pem)).outcome is Outcome.SENT
    assert server.encrypted == [True, False]
    assert ".\n" in server.taken[0].get_body(("plain",)).get_content().replace("\r\n", "\n")


async def test_a_certificate_that_is_not_trusted_is_no_encryption(tls: ssl.SSLContext) -> None:
    async with mail_server(tls=tls) as server:
        result = await send(f"smtp://127.0.0.1:{server.port}")
    assert result.outcome is Outcome.LATER
    assert "certificate" in result.detail.lower()
    assert server.taken == []


async def test_a_password_goes_over_an_encrypted_way_only(tls: ssl.SSLContext, pem: Path) -> None:
    url = "smtp://ops:p%40ss%20word@127.0.0.1:{}"
    async with mail_server(tls=tls) as server:
        assert (await send(url.format(server.port), pem)).outcome is Outcome.SENT
    assert (server.encrypted, server.users) == ([True], [b"ops"])
    async with mail_server(auth_require_tls=False) as bare:
        result = await send(url.format(bare.port))
        assert result.outcome is Outcome.LATER
        assert (bare.taken, bare.users) == ([], [])
        assert (await send(url.format(bare.port) + "?starttls=never")).outcome is Outcome.SENT
    assert bare.users == [b"ops"]


async def test_a_wrong_password_is_not_the_recipients_fault(tls: ssl.SSLContext, pem: Path) -> None:
    async with mail_server(tls=tls) as server:
        result = await send(f"smtp://ops:wrong@127.0.0.1:{server.port}", pem)
    assert result.outcome is Outcome.LATER
    assert "535" in result.detail
    assert "wrong" not in result.detail


@pytest.mark.parametrize(
    ("manner", "outcome", "says"),
    [
        (Manner.TAKE, Outcome.SENT, "taken"),
        (Manner.BUSY, Outcome.LATER, "the recipient was refused: 450"),
        (Manner.UNKNOWN, Outcome.REFUSED, "the recipient was refused: 550"),
        (Manner.SPAM, Outcome.REFUSED, "the mail was refused: 554"),
        (Manner.FULL, Outcome.LATER, "the mail was refused: 452"),
        (Manner.DROP, Outcome.LATER, "could not be used"),
        (Manner.HANG, Outcome.LATER, "did not answer within 0.5 s"),
    ],
)
async def test_answers(manner: Manner, outcome: Outcome, says: str) -> None:
    async with mail_server(manner) as server:
        result = await send(f"smtp://127.0.0.1:{server.port}", time_limit_s=0.5)
    assert result.outcome is outcome
    assert says in result.detail


async def test_no_server_at_all() -> None:
    result = await send(f"smtp://127.0.0.1:{free_port()}")
    assert result.outcome is Outcome.LATER
    assert "could not be used" in result.detail


async def test_trouble_is_known_until_a_mail_is_taken() -> None:
    left: list[Any] = [Manner.BUSY, Manner.UNKNOWN, Manner.BUSY, Manner.TAKE]
    async with mail_server(lambda _: left.pop(0)) as server:
        mailer = Mailer(parse(f"smtp://127.0.0.1:{server.port}"))
        mail = compose(
            notification_id="n1", incident_id=None, sender=address("a@dewars.example"), to=address("b@x.example"),
            to_name=None, subject="s", text="t", html="h", at=datetime(2026, 11, 21, tzinfo=UTC), urgent=False,
        )  # fmt: skip
        troubles = []
        for _ in range(4):
            await mailer.send(mail)
            troubles.append(mailer.trouble is not None)
    assert troubles == [True, False, True, False]
