"""Which addresses may be connected to."""

from ipaddress import ip_network

import pytest

from tremula.infra.outbound.address_policy import AddressPolicy

PUBLIC = ["1.1.1.1", "100.63.255.255", "100.128.0.0", "172.32.0.1", "2606:4700::1"]
REFUSED = {
    "0.0.0.0": "this host",  # noqa: S104 - not listened on
    "10.1.2.3": "private",
    "100.64.0.1": "carrier-grade NAT",
    "127.0.0.1": "loopback",
    "127.8.8.8": "loopback",
    "169.254.169.254": "link-local: cloud metadata",
    "172.16.0.1": "private",
    "192.0.0.1": "protocol assignments",
    "192.0.2.1": "documentation",
    "192.88.99.1": "6to4 relay",
    "192.168.0.1": "private",
    "198.18.0.1": "benchmarks",
    "224.0.0.1": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::": "unspecified",
    "::1": "loopback",
    "::127.0.0.1": "IPv4-compatible",
    "::ffff:127.0.0.1": "mapped",
    "::ffff:1.1.1.1": "mapped",
    "64:ff9b::7f00:1": "NAT64",
    "64:ff9b:1::1": "local NAT64",
    "100::1": "discard",
    "2001::1": "Teredo",
    "2001:db8::1": "documentation",
    "2002:7f00:1::": "6to4",
    "3fff::1": "documentation",
    "fc00::1": "unique local",
    "fd00::1": "unique local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local with a scope",
    "2606:4700::1%eth0": "public with a scope",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "localhost": "no address",
    "127.1": "no address in full",
    "": "nothing",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_permitted(address: str) -> None:
    assert AddressPolicy().permits(address)


@pytest.mark.parametrize("address", REFUSED)
def test_cve_2021_21392_any_other_address_is_refused(address: str) -> None:
    """Also the forms of IPv6 that lead to an IPv4 address."""
    assert not AddressPolicy().permits(address)


def test_an_allowed_range_permits_its_addresses_only() -> None:
    policy = AddressPolicy((ip_network("10.0.0.0/8"), ip_network("fd00::/8")))

    assert policy.permits("10.255.0.1")
    assert policy.permits("fd12::1")
    assert not policy.permits("192.168.0.1")
    assert not policy.permits("::ffff:10.0.0.1")
    assert policy.permits("1.1.1.1")
