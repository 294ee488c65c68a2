"""Where a request really comes from, seen through trusted proxies only."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from tremula.infra.http.heads import FORWARDED_FOR

LOCAL_SOCKET = "unix"
"""The address of a client that connects through a Unix socket."""

# Users are commonly given a whole /64, so that one of its addresses means nothing.
_USER_PREFIX_BITS = 64


class TrustedProxies:
    """The networks whose ``X-Forwarded-For`` is believed. Anyone can send the header.

    Who connects through a Unix socket is on this machine, and is always trusted.
    """

    def __init__(self, networks: tuple[IPv4Network | IPv6Network, ...] = ()) -> None:
        self._networks = networks
        self._trusts = lru_cache(maxsize=4096)(self._lies_in_networks)

    def trusts(self, address: str) -> bool:
        """Whether *address* is one of a trusted proxy."""
        return address == LOCAL_SOCKET or (
            bool(self._networks) and self._trusts(address)
        )

    def client_ip(self, peer: str, headers: Mapping[bytes, bytes]) -> str:
        """The right-most address that no trusted proxy has: what lies further left
        was written by whom we do not know.
        """
        if not self.trusts(peer):
            return peer
        address = peer
        for hop in reversed(_forwarded_for(headers)):
            if not _is_address(hop):
                break
            address = hop
            if not self.trusts(hop):
                break
        return address

    def _lies_in_networks(self, address: str) -> bool:
        ip = ip_address(address)
        return any(ip in network for network in self._networks)


@lru_cache(maxsize=4096)
def rate_limit_key(client_ip: str) -> str:
    """What counts as one client: an IPv4 address, or a /64 of IPv6 addresses."""
    if ":" not in client_ip:
        return client_ip
    address = IPv6Address(client_ip)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address, _USER_PREFIX_BITS), strict=False))


def _forwarded_for(headers: Mapping[bytes, bytes]) -> list[str]:
    hops = headers.get(FORWARDED_FOR, b"").decode("latin-1").split(",")
    return [hop.strip() for hop in hops]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
