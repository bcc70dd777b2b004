"""Real TLS: the certificate is checked for the name in the URL, while the address that was checked is connected to."""

import asyncio
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest
import trustme

from alerts.outbound.post import Answer, Poster
from alerts.outbound.resolve import Targets
from tests.receivers import Receiver

NAME = "partner.example"
PAST = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


class Partner:
    """A receiver with a certificate, and which names were asked for at its door."""

    def __init__(self, certificate: trustme.LeafCert) -> None:
        self.asked: list[str | None] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        context.sni_callback = lambda _socket, name, _context: self.asked.append(name)
        self.receiver = Receiver(tls=context)


async def send(
    partner: Partner, trusted: trustme.CA | None, host: str = NAME, count: int = 1
) -> tuple[list[Answer], list[str]]:
    """Posts, and gives the answers and the names that were looked up."""
    looked_up: list[str] = []

    async def lookup(name: str) -> Sequence[str]:
        looked_up.append(name)
        return ["127.0.0.1"]

    context = ssl.create_default_context()
    if trusted is not None:
        trusted.configure_trust(context)
    targets = Targets([ip_network("127.0.0.0/8")], lookup)
    async with partner.receiver, Poster(targets, time_limit_s=5, tls=context) as poster:
        url = f"https://{host}:{partner.receiver.port}/hook?a=b"
        return [await poster.post(url, b"{}", {"webhook-id": "1-1"}) for _ in range(count)], looked_up


async def test_the_name_is_verified_and_sent_while_the_checked_address_is_connected_to(
    authority: trustme.CA,
) -> None:
    partner = Partner(authority.issue_cert(NAME))
    answers, looked_up = await send(partner, authority, count=3)
    assert [answer.status for answer in answers] == [200] * 3
    assert [(one.path, one.headers["host"], one.id) for one in partner.receiver.got] == [
        ("/hook?a=b", f"{NAME}:{partner.receiver.port}", "1-1")
    ] * 3
    assert partner.asked == looked_up == [NAME]  # one connection for all
    assert partner.receiver.connections == 1


async def test_a_name_with_the_dot_of_the_root_is_the_same_name(authority: trustme.CA) -> None:
    partner = Partner(authority.issue_cert(NAME))
    answers, _ = await send(partner, authority, host=f"{NAME}.")
    assert (answers[0].status, partner.asked) == (200, [NAME])


async def test_an_address_in_the_url_is_verified_as_an_address(authority: trustme.CA) -> None:
    for subject, status in (("127.0.0.1", 200), (NAME, None)):
        partner = Partner(authority.issue_cert(subject))
        answers, _ = await send(partner, authority, host="127.0.0.1")
        assert answers[0].status == status


@pytest.mark.parametrize(
    ("says", "subject", "expired"),
    [
        ("certificate has expired", NAME, True),
        ("Hostname mismatch, certificate is not valid for 'partner.example'", "other.example", False),
        ("Hostname mismatch, certificate is not valid for 'partner.example'", "127.0.0.1", False),
    ],
)
async def test_a_certificate_that_does_not_hold_is_refused_in_plain_words(
    authority: trustme.CA, says: str, subject: str, *, expired: bool
) -> None:
    partner = Partner(authority.issue_cert(subject, not_after=PAST if expired else None))
    await is_refused(partner, authority, says)


async def test_an_authority_that_is_not_trusted_is_refused() -> None:
    partner = Partner(trustme.CA().issue_cert(NAME))
    await is_refused(partner, None, "unable to get local issuer certificate")


async def test_who_vouches_for_himself_is_refused(authority: trustme.CA) -> None:
    itself = trustme.CA()
    partner = Partner(trustme.LeafCert(itself.private_key_pem.bytes(), itself.cert_pem.bytes(), []))
    await is_refused(partner, authority, "self-signed certificate")


async def is_refused(partner: Partner, trusted: trustme.CA | None, says: str) -> None:
    [answer], _ = await send(partner, trusted)
    assert answer.status is None
    assert (answer.error or "").startswith("the certificate is refused: ")
    assert says in (answer.error or "")
    assert partner.receiver.got == []


async def test_a_server_without_encryption_is_told_apart() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, Poster(Targets([ip_network("127.0.0.0/8")]), time_limit_s=5) as poster:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        answer = await poster.post(url, b"{}", {})
    assert (answer.status, answer.error) == (None, "no encrypted connection: wrong version number")
