"""Pure: how much of the process one caller may take: bytes, seconds and connections."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

HEAD_BYTES = 32 * 1024
HEAD_LINES = 100
PIPELINED = 64
"""Requests that may wait on one connection behind the one that is being answered."""
FRAMING_BYTES = 64 * 1024
FRAMING_SHARE = 8
"""Chunk sizes, their extensions and trailers may have so many bytes, and so many for each byte of the body."""
DRAINED_BYTES, DRAINED_S = 16 * 2**20, 2.0
"""What is still read after a refusal: if the connection were closed at once, the answer would be lost to a reset."""
SLOWEST_BYTES_S = 1024
"""Whoever reads a long answer no faster than this, over the time that it has, is cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits that an operator can set."""

    connections: int = 4096
    per_address: int = 512
    head_s: float = 10.0
    body_s: float = 60.0
    idle_s: float = 30.0
    answer_s: float = 60.0
    proxies: Sequence[IPv4Network | IPv6Network] = ()
    """Whose word is taken for who is calling."""

    def most_of(self, peer: str) -> int:
        """Return how many connections a peer may have; a proxy of ours, which stands for many, as many as there may be."""
        return self.connections if lies_in(peer, self.proxies) else self.per_address

    def within(self, descriptors: int) -> "Limits":
        """Return the limits with at most half of the descriptors, so that database and broker always have some."""
        connections = max(1, min(self.connections, descriptors // 2))
        return Limits(
            connections=connections,
            per_address=max(1, min(self.per_address, connections // 2)),
            head_s=self.head_s,
            body_s=self.body_s,
            idle_s=self.idle_s,
            answer_s=self.answer_s,
            proxies=self.proxies,
        )


def announces_more(content_length: str, limit: int) -> bool:
    """Return whether a header announces a body of more bytes; what is no number announces nothing."""
    is_number = content_length.isascii() and content_length.isdecimal()
    return is_number and (len(content_length) > 18 or int(content_length) > limit)


def lies_in(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Return whether a peer's address lies in one of the networks; what is no address lies in none."""
    parsed = _parsed(address)
    return parsed is not None and any(
        parsed in network for network in networks if network.version == parsed.version
    )


def caller_of(
    peer: str, forwarded: Sequence[str], proxies: Sequence[IPv4Network | IPv6Network]
) -> str | None:
    """Return who is calling through a proxy: the last of `X-Forwarded-For` that is not itself a proxy of ours.

    None where the peer is no such proxy: then the header is anybody's word, and not looked at.
    """
    if not lies_in(peer, proxies):
        return None
    named = [part.strip() for line in forwarded for part in line.split(",")]
    for address in reversed(named):
        if _parsed(address) is None:
            return None
        if not lies_in(address, proxies):
            return address
    return None


def neighbourhood(address: str) -> str:
    """Return what counts as one address: an IPv6 caller has a whole /64 to choose from."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed) >> 64 << 64, 64)))
    return address


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed
