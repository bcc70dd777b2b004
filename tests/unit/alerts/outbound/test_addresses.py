from ipaddress import ip_address, ip_network

import pytest

from alerts.outbound.addresses import refusal, why_denied

PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.215.14", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1"]
PUBLIC_V6 = ["2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "2003::1", "2001:200::1"]


@pytest.mark.parametrize("address", [*PUBLIC, *PUBLIC_V6])
def test_public_addresses_are_not_denied(address: str) -> None:
    assert why_denied(ip_address(address)) is None


# What Python 3.11's `is_global` says yes to.
@pytest.mark.parametrize(
    "address",
    ["64:ff9b::7f00:1", "2002:7f00:1::", "192.88.99.1", "224.0.0.1", "ff0e::1", "3fff::1", "fec0::1"],
)
def test_what_the_standard_library_takes_for_global_is_denied(address: str) -> None:
    assert why_denied(ip_address(address)) is not None


def test_the_edges_of_every_denied_network_are_denied() -> None:
    for text in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "198.18.0.0/15", "fc00::/7", "2001::/23"):
        network = ip_network(text)
        assert why_denied(network[0]) is not None
        assert why_denied(network[-1]) is not None


@pytest.mark.parametrize(
    ("addresses", "networks", "encrypted", "why"),
    [
        (["8.8.8.8"], [], True, None),
        ([], [], True, "no address"),
        (["8.8.8.8", "10.0.0.1"], [], True, "10.0.0.1 is not public: a private network"),
        (["8.8.8.8"], [], False, "use https"),
        (["10.0.0.1"], ["10.0.0.0/8"], False, None),
        (["10.0.0.1"], ["10.0.0.0/8"], True, None),
        (["10.0.0.1", "8.8.8.8"], ["10.0.0.0/8"], False, "8.8.8.8 is in none"),
        (["::ffff:10.0.0.1"], ["10.0.0.0/8"], True, "IPv4 in the form of IPv6"),
        (["fe80::1%eth0"], ["10.0.0.0/8"], True, "one interface"),
        (["partner.example"], [], True, "is not an address"),
    ],
)
def test_one_denied_address_refuses_all(
    addresses: list[str], networks: list[str], encrypted: bool, why: str | None
) -> None:
    told = refusal(addresses, [ip_network(network) for network in networks], encrypted=encrypted)
    assert (told is None) if why is None else (why in str(told))
