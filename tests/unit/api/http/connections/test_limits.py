"""Who counts as whom, and what is left of a machine that has little."""

from ipaddress import ip_network

import pytest

from api.http.connections.limits import Limits, caller_of, lies_in, neighbourhood

PROXIES = [ip_network("10.0.0.0/8"), ip_network("::1/128")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("203.0.113.7", ["198.51.100.1"], None),  # no proxy of ours: its word is nothing
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        (
            "10.0.0.1",
            ["1.2.3.4, 198.51.100.1"],
            "198.51.100.1",
        ),  # what the caller itself claims is left of it
        ("10.0.0.1", ["1.2.3.4", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, rubbish"], None),
        ("10.0.0.1", ["10.0.0.3"], None),
        ("10.0.0.1", [], None),
        ("::1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
    ],
)
def test_a_proxy_is_believed_if_it_is_ours_and_its_caller_is_not(peer, forwarded, caller):
    assert caller_of(peer, forwarded, PROXIES) == caller


def test_an_ipv6_caller_is_its_network():
    assert neighbourhood("2001:db8:1:2:3::4") == neighbourhood("2001:db8:1:2:ffff::1")
    assert neighbourhood("2001:db8:1:2::4") != neighbourhood("2001:db8:1:3::4")
    assert neighbourhood("192.0.2.1") == "192.0.2.1"
    assert not lies_in("unix", PROXIES)


@pytest.mark.parametrize("descriptors", [40, 256, 1024, 20_000, 2**20])
def test_half_of_the_descriptors_are_left_and_one_address_never_has_all(descriptors):
    limits = Limits().within(descriptors)
    assert limits.connections <= descriptors / 2
    assert 1 <= limits.per_address <= limits.connections / 2
