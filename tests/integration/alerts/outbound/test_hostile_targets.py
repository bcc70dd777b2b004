"""No socket is opened to an address that is not public, in whatever form it is written; a real listener would see it."""

import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_network

import pytest
import structlog

from alerts.outbound.post import Poster
from alerts.outbound.resolve import NO_WAY, Targets
from tests.receivers import Receiver, Reply, receiver

INSIDE = [
    *("0.0.0.0", "0.0.0.1", "0.255.255.255", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254"),
    *("127.0.0.1", "127.0.0.53", "127.1.2.3", "127.255.255.255", "169.254.0.1", "169.254.169.254"),
    *("169.254.170.2", "172.16.0.1", "172.17.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1"),
    *("192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "192.175.48.1"),
    *("198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255"),
    *("240.0.0.1", "255.255.255.255"),
]
"""IPv4 of every kind that is not public."""
BURIED = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "172.16.0.1", "100.64.0.1"]


def forms(address: str) -> list[str]:
    """The ways in which one IPv4 address has been written to get past a check."""
    a, b, c, d = (int(part) for part in address.split("."))
    number, tail = int(IPv4Address(address)), f"{a:02x}{b:02x}:{c:02x}{d:02x}"
    return [
        *(
            f"{number}",
            f"0x{number:x}",
            f"0{number:o}",
            f"{a}.{b * 65536 + c * 256 + d}",
            f"{a}.{b}.{c * 256 + d}",
        ),
        *(f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"0{a:o}.{b}.{c}.0x{d:x}"),
        *(f"[::ffff:{address}]", f"[::{address}]", f"[64:ff9b::{address}]", f"[64:ff9b:1::{address}]"),
        *(f"[2002:{tail}::1]", f"[::ffff:0:{address}]", f"[2001:0:{tail}::1]", f"[0:0:0:0:0:ffff:{tail}]"),
    ]


INSIDE_V6 = [
    *(
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fdff::1]",
        "[fe80::1]",
        "[febf::1]",
    ),
    *("[fec0::1]", "[ff02::1]", "[ff0e::1]", "[2001::1]", "[2001:2::1]", "[2001:10::1]", "[2001:20::1]"),
    *("[2001:db8::1]", "[2002:7f00:1::]", "[3ffe::1]", "[3fff::1]", "[100::1]", "[5f00::1]", "[4000::1]"),
    *("[2620:4f:8000::1]", "[64:ff9b::7f00:1]", "[::ffff:7f00:1]", "[fe80::1%25lo]", "[::1%25lo]"),
]
NAMES = ["localhost", "LOCALHOST", "localhost.", "１２７.0.0.1", "①②⑦.⓪.⓪.①", "127。0。0。1", "127.0.0.1."]
URLS = [
    *(f"https://{host}:{{port}}/" for host in [*INSIDE, *INSIDE_V6, *NAMES]),
    *(f"https://{form}:{{port}}/" for address in BURIED for form in forms(address)),
    *(
        f"http://{host}:{{port}}/"
        for host in ("127.0.0.1", "8.8.8.8", "[::1]", "[2606:4700::1111]", "localhost")
    ),
    *(
        "https://user:pass@127.0.0.1:{port}/",
        "https://8.8.8.8:{port}@127.0.0.1:{port}/",
        "https://127.0.0.1:{port}#@8.8.8.8/",
    ),
    *(
        "https://127.0.0.1:{port}\\@8.8.8.8/",
        "https:\\\\127.0.0.1:{port}/",
        "https:///127.0.0.1:{port}/",
        "https:127.0.0.1:{port}",
    ),
    *(
        "ftp://127.0.0.1:{port}/",
        "gopher://127.0.0.1:{port}/",
        "file:///etc/passwd",
        "//127.0.0.1:{port}/",
        "unix:/run/x",
    ),
    *(
        "https://127.0.0.1:{port}\t/",
        " https://127.0.0.1:{port}/",
        "https://127.0.0.1:\n{port}/",
        "https://127%2e0%2e0%2e1:{port}/",
    ),
    *(
        "https://[::1]:{port}/",
        "https://[::ffff:127.0.0.1]:{port}/",
        "https://127.0.0.1:0/",
        "https://127.0.0.1:99999/",
    ),
]
PUBLIC = "93.184.215.14"
MIXED = [
    *(
        [PUBLIC, bad]
        for bad in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:127.0.0.1")
    ),
    *(
        [bad, PUBLIC]
        for bad in ("127.0.0.1", "192.168.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fc00::1", "0.0.0.0")
    ),
    *(
        [bad]
        for bad in (
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "::",
            "::ffff:7f00:1",
            "100.64.0.1",
            "ff02::1",
            "fe80::1%1",
        )
    ),
]
"""What the name servers of an attacker answer, A and AAAA together."""


@dataclass
class Watched(Targets):
    """Notes every address that it opens a socket for, and connects none of them: this machine has no business there."""

    answers: list[Sequence[str]]
    opened: list[str] = field(default_factory=list)
    asked: int = 0

    def __post_init__(self) -> None:
        super().__init__((), self._answer)

    async def _answer(self, host: str) -> Sequence[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def open_socket(
        self,
        family: int,
        type_: int,
        proto: int,
        address: str,
        organization: str | None = None,
        *,
        encrypted: bool,
    ) -> socket.socket:
        opened = super().open_socket(family, type_, proto, address, organization, encrypted=encrypted)
        opened.close()
        self.opened.append(address)
        raise OSError(f"{address} may be reached, but not by a test")


@pytest.fixture
async def listener() -> AsyncIterator[Receiver]:
    async with receiver() as server:
        yield server


def test_there_are_enough_of_them() -> None:
    assert len({*URLS}) + len(MIXED) >= 150


async def test_none_of_them_is_taken_and_none_is_connected_to(listener: Receiver) -> None:
    targets = Targets()  # with the system's own resolver, which understands more forms than people do
    async with Poster(targets, time_limit_s=5) as poster:
        for pattern in URLS:
            url = pattern.format(port=listener.port)
            checked = await targets.check(url)
            assert isinstance(checked, str), url
            answer = await poster.post(url, b"{}", {})
            assert (answer.status, bool(answer.error)) == (None, True), url
    assert listener.connections == 0


@pytest.mark.parametrize("addresses", MIXED, ids=str)
async def test_one_denied_address_refuses_all(addresses: list[str]) -> None:
    targets = Watched([addresses])
    assert isinstance(await targets.check("https://partner.example/"), str)
    async with Poster(targets, time_limit_s=5) as poster:
        answer = await poster.post("https://partner.example/", b"{}", {})
    assert answer.error is not None
    assert answer.error == f"refused: {NO_WAY}"
    assert targets.opened == []


@pytest.mark.parametrize("later", ["127.0.0.1", "::1", "169.254.169.254", "10.1.2.3", "::ffff:127.0.0.1"])
async def test_a_name_that_leads_elsewhere_later_is_refused_then(later: str, listener: Receiver) -> None:
    """DNS rebinding: public when it is registered, and no more when it is connected to."""
    targets = Watched([[PUBLIC], [later]])
    assert not isinstance(await targets.check(f"https://rebinding.example:{listener.port}/"), str)
    async with Poster(targets, time_limit_s=5) as poster:
        answer = await poster.post(f"https://rebinding.example:{listener.port}/", b"{}", {})
    assert answer.error is not None
    assert answer.error.startswith("refused")
    assert (targets.opened, listener.connections) == ([], 0)


async def test_what_was_checked_is_what_is_connected_to() -> None:
    """One look at the name for each connection, and the socket is opened to what that look gave."""
    targets = Watched([[PUBLIC, "2606:4700::1111"], ["127.0.0.1"]])
    async with Poster(targets, time_limit_s=5) as poster:
        await poster.post("https://partner.example/", b"{}", {})
    assert set(targets.opened) == {PUBLIC, "2606:4700::1111"}
    assert targets.asked == 1


async def test_the_last_look_stands_by_itself() -> None:
    """Should an address get past every check before it, no socket is opened for it."""
    for address in [*INSIDE, "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with pytest.raises(OSError, match="must lead to a public address"):
            Targets().open_socket(family, socket.SOCK_STREAM, 0, address, encrypted=True)


async def test_a_redirect_to_the_inside_is_not_followed(listener: Receiver) -> None:
    inside = ("Location", f"http://127.0.0.1:{listener.port}/inside")
    allowed = Targets([ip_network("127.0.0.0/8")])
    for status in (301, 302, 303, 307, 308):
        async with (
            receiver(Reply(status, headers=(inside,))) as partner,
            Poster(allowed, time_limit_s=5) as poster,
        ):
            answer = await poster.post(partner.url, b"{}", {})
        assert (answer.status, answer.ok) == (status, False)
    assert listener.connections == 0


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
async def test_no_proxy_of_the_environment_is_asked(
    name: str, listener: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, f"http://127.0.0.1:{listener.port}")
    async with receiver() as partner, Poster(Targets([ip_network("127.0.0.0/8")]), time_limit_s=5) as poster:
        assert (await poster.post(partner.url, b"{}", {})).ok
    assert listener.connections == 0


async def test_what_a_name_leads_to_is_told_to_nobody_but_the_operator() -> None:
    """Nor whether there is such a name: whoever may make a webhook could ask for all names of the inside."""

    async def unknown(host: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    told: set[object] = set()
    logged: list[str] = []
    lookups: list[Targets] = [Watched([["10.1.2.3"]]), Watched([["127.0.0.1"]]), Targets((), unknown)]
    for targets in lookups:
        for scheme in ("https", "http"):
            url = f"{scheme}://billing.inside.example/"
            with structlog.testing.capture_logs() as log:
                told.add(await targets.check(url))
                async with Poster(targets, time_limit_s=5) as poster:
                    answer = await poster.post(url, b"{}", {})
            told.add((answer.error or "").removeprefix("refused: "))
            logged += [line["why"] for line in log if line["event"] == "target_refused"]
    assert told == {NO_WAY}
    assert len(logged) == 12
    assert any("10.1.2.3" in why for why in logged)


async def test_a_network_of_one_organization_is_reached_by_its_endpoints_alone() -> None:
    """Also where a connection that was made for it is still open."""
    targets = Targets(of_organizations={"acme": [ip_network("127.0.0.0/8")]})
    async with receiver() as partner, Poster(targets, time_limit_s=5) as poster:
        assert not isinstance(await targets.check(partner.url, "acme"), str)
        assert (await poster.post(partner.url, b"{}", {}, "acme")).ok
        for other in ("bcell", None):
            assert await targets.check(partner.url, other) == NO_WAY
            assert (await poster.post(partner.url, b"{}", {}, other)).error == f"refused: {NO_WAY}"
        assert (await poster.post(partner.url, b"{}", {}, "acme")).ok
    assert partner.connections == 1


async def test_an_allowed_network_is_allowed_and_nothing_beside_it() -> None:
    targets = Targets([ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")])
    for good in ("http://10.1.2.3/", "https://10.1.2.3/", "http://[fd00:1::5]:8080/", "https://8.8.8.8/"):
        assert not isinstance(await targets.check(good), str), good
    for bad in ("http://10.2.0.1/", "https://10.2.0.1/", "http://8.8.8.8/", "https://[::ffff:10.1.2.3]/"):
        assert isinstance(await targets.check(bad), str), bad
