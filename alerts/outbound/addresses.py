"""Pure: which addresses may be reached.

Lists of our own, since `ipaddress.is_global` is wrong for several ranges on Python 3.11. After the special-purpose
registries of IANA (RFC 6890 and its successors).
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_DENIED_V4: Final = tuple(
    (IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "a private network"),
        ("100.64.0.0/10", "a carrier's shared network"),
        ("127.0.0.0/8", "the machine itself"),
        ("169.254.0.0/16", "the local link"),
        ("172.16.0.0/12", "a private network"),
        ("192.0.0.0/24", "reserved for protocols"),
        ("192.0.2.0/24", "reserved for documentation"),
        ("192.31.196.0/24", "a name server of last resort"),
        ("192.52.193.0/24", "a relay for multicast"),
        ("192.88.99.0/24", "a relay to IPv6"),
        ("192.168.0.0/16", "a private network"),
        ("192.175.48.0/24", "a name server of last resort"),
        ("198.18.0.0/15", "reserved for benchmarks"),
        ("198.51.100.0/24", "reserved for documentation"),
        ("203.0.113.0/24", "reserved for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)

_GLOBAL_V6: Final = IPv6Network("2000::/3")
"""All unicast space that IANA has allocated; every mapped, translated, local and reserved form lies outside."""

_DENIED_V6: Final = tuple(
    (IPv6Network(network), what)
    for network, what in (
        ("2001::/23", "reserved for protocols, with Teredo and ORCHID in it"),
        ("2001:db8::/32", "reserved for documentation"),
        ("2002::/16", "IPv4 by 6to4"),
        ("2620:4f:8000::/48", "a name server of last resort"),
        ("3ffe::/16", "a testbed of the past"),
        ("3fff::/20", "reserved for documentation"),
    )
)

_OUTSIDE_V6: Final = tuple(
    (IPv6Network(network), what)
    for network, what in (
        ("::/128", "no address"),
        ("::1/128", "the machine itself"),
        ("::ffff:0:0/96", "IPv4 in the form of IPv6"),
        ("64:ff9b::/96", "IPv4 by NAT64"),
        ("64:ff9b:1::/48", "IPv4 by NAT64"),
        ("100::/64", "a discard prefix"),
        ("fc00::/7", "a private network"),
        ("fe80::/10", "the local link"),
        ("fec0::/10", "a private network"),
        ("ff00::/8", "multicast"),
    )
)
"""Names for the refusal: whatever is outside the global range is denied, named or not."""


def address_of(text: str) -> Address | None:
    """Parse an address in its plain form; None if it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def allowed(address: Address, networks: Iterable[Network]) -> bool:
    """Return whether an address lies in one of the networks that the operator has allowed."""
    return any(address in network for network in networks if network.version == address.version)


def why_denied(address: Address) -> str | None:
    """Return what a non-public address is; None if it is public."""
    if isinstance(address, IPv4Address):
        return next((what for network, what in _DENIED_V4 if address in network), None)
    if address.scope_id is not None:
        return "bound to one interface"
    if address not in _GLOBAL_V6:
        return next((what for network, what in _OUTSIDE_V6 if address in network), "reserved")
    return next((what for network, what in _DENIED_V6 if address in network), None)


def refusal(addresses: Sequence[str], networks: Sequence[Network], *, encrypted: bool) -> str | None:
    """Return why a target with these addresses is refused: one denied address refuses all; None if it may be reached.

    Without encryption only what the operator has allowed may be reached.
    """
    if not addresses:
        return "it has no address"
    for text in addresses:
        address = address_of(text)
        if address is None:
            return f"{text} is not an address"
        if allowed(address, networks):
            continue
        if not encrypted:
            return f"http is for allowed networks only, and {text} is in none: use https"
        if what := why_denied(address):
            return f"its address {text} is not public: {what}"
    return None
