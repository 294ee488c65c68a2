"""What is asked of the DNS."""

from typing import Protocol

from msgspec import Struct


class Addresses(Struct, frozen=True):
    """The IP addresses of a name, and whether a CNAME led to them."""

    ips: tuple[str, ...]
    is_alias: bool = False


class SrvRecord(Struct, frozen=True, kw_only=True):
    """One SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


class Resolver(Protocol):
    """Looks up names. Tests have one that knows only what they say."""

    async def addresses(self, hostname: str) -> Addresses:
        """The A and AAAA records of *hostname*, over CNAMEs where there are any.

        Raises:
            NameNotFound: it has none.
            ConnectFailed: the DNS gave no answer.
        """
        ...

    async def services(self, name: str) -> tuple[SrvRecord, ...]:
        """The SRV records of *name*; empty if it has none.

        Raises:
            ConnectFailed: the DNS gave no answer.
        """
        ...

    async def close(self) -> None:
        """Let go of sockets and threads."""
        ...
