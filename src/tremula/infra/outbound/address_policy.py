"""Which addresses this server may connect to.

Otherwise anybody who can name a server could have requests sent to what only this
machine reaches: databases, cloud metadata, routers.
"""

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import Final

from msgspec import Struct

# The IANA IPv4 Special-Purpose Address Registry, without what is globally reachable,
# and multicast. ipaddress.is_global of older Python 3.11 knows fewer.
_IPV4_NOT_PUBLIC: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT
            "127.0.0.0/8",
            "169.254.0.0/16",  # link-local, and the metadata services of clouds
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
# All global unicast addresses lie here. Loopback, link-local, unique local, multicast,
# IPv4-mapped and NAT64 (64:ff9b::/96) addresses do not.
_IPV6_UNICAST: Final = IPv6Network("2000::/3")
_IPV6_NOT_PUBLIC: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",
            "2002::/16",  # 6to4
            "3fff::/20",
        ),
    )
)


class AddressPolicy(Struct, frozen=True):
    """Public addresses, and those in *allowed_private_ranges*.

    A form of IPv6 that wraps an IPv4 address is only allowed by a range of that form,
    never by one of the wrapped address.
    """

    allowed_private_ranges: tuple[IPv4Network | IPv6Network, ...] = ()

    def permits(self, address: str) -> bool:
        """Whether this server may connect to the IP address; False for what is none."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return _is_public(parsed) or any(
            parsed in allowed
            for allowed in self.allowed_private_ranges
            if allowed.version == parsed.version
        )


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _IPV4_NOT_PUBLIC)
    return (
        address.scope_id is None
        and address in _IPV6_UNICAST
        and not any(address in network for network in _IPV6_NOT_PUBLIC)
    )
