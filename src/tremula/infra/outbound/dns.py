"""The DNS of this machine: its /etc/hosts and resolv.conf, through c-ares.

c-ares answers again from memory for as long as the records' TTL allows. It was taken
over dnspython because loading it costs a third of the time and a quarter of the memory,
and over getaddrinfo because this has no SRV records and blocks a thread a look-up.
"""

import asyncio
import socket
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from tremula.infra.outbound.errors import ConnectFailed, NameNotFound
from tremula.infra.outbound.resolver import Addresses, SrvRecord

if TYPE_CHECKING:
    import aiodns

_TIMEOUT_S: Final = 10
_TRY_S: Final = 2.5
_RECORDS_MAX: Final = 16

_Found = TypeVar("_Found")


class DnsResolver:
    """Implements `Resolver`. Nothing is loaded or opened before the first look-up.

    *name_servers* are asked in place of those of resolv.conf.
    """

    def __init__(self, name_servers: Sequence[str] | None = None) -> None:
        self._name_servers = name_servers
        self._dns: aiodns.DNSResolver | None = None

    async def addresses(self, hostname: str) -> Addresses:
        """The addresses of *hostname*, at most 16."""
        found = await _answered(
            hostname,
            self._opened().getaddrinfo(
                hostname, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM
            ),
        )
        ips = [_text(node.addr[0]) for node in found.nodes[:_RECORDS_MAX]]
        if not ips:
            raise NameNotFound(f"{hostname} has no address")
        return Addresses(tuple(ips), is_alias=bool(found.cnames))

    async def services(self, name: str) -> tuple[SrvRecord, ...]:
        """The SRV records of *name*, at most 16."""
        from pycares import SRVRecordData  # noqa: PLC0415 - loaded when needed

        try:
            found = await _answered(name, self._opened().query_dns(name, "SRV"))
        except NameNotFound:
            return ()
        return tuple(
            SrvRecord(
                priority=record.data.priority,
                weight=record.data.weight,
                port=record.data.port,
                target=record.data.target,
            )
            for record in found.answer[:_RECORDS_MAX]
            if isinstance(record.data, SRVRecordData)
        )

    async def close(self) -> None:
        """End the thread of c-ares."""
        if self._dns is not None:
            await self._dns.close()

    def _opened(self) -> "aiodns.DNSResolver":
        if self._dns is None:
            import aiodns  # noqa: PLC0415 - loaded when needed

            self._dns = aiodns.DNSResolver(self._name_servers, timeout=_TRY_S)
        return self._dns


async def _answered(name: str, question: Awaitable[_Found]) -> _Found:
    from aiodns.error import (  # noqa: PLC0415 - loaded when needed
        ARES_ENODATA,
        ARES_ENOTFOUND,
        DNSError,
    )

    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await question
    except DNSError as error:
        if error.args[0] in {ARES_ENODATA, ARES_ENOTFOUND}:
            raise NameNotFound(f"{name} has no such record") from error
        raise ConnectFailed(f"looking up {name}: {error.args[-1]}") from error
    except TimeoutError as error:
        raise ConnectFailed(f"looking up {name} took too long") from error


def _text(address: bytes | str) -> str:
    return address.decode("ascii") if isinstance(address, bytes) else address
