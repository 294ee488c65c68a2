"""aiohttp, set up so that it connects only where the policy permits.

Nothing else imports aiohttp, and this module is loaded with the first request: it takes
15 MB and a quarter of a second, and many a server never asks another one anything.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from tremula import __version__
from tremula.infra.outbound.address_policy import AddressPolicy
from tremula.infra.outbound.endpoint import (
    Endpoint,
    Limits,
    OutboundRequest,
    StreamedResponse,
    is_ip_literal,
)
from tremula.infra.outbound.errors import (
    AddressRefused,
    AnswerTooLarge,
    BadUrl,
    ConnectFailed,
    OutboundError,
    RequestFailed,
    TimedOut,
)
from tremula.infra.outbound.resolver import Resolver
from tremula.infra.outbound.unpacking import ACCEPTED, unpacked

_CONNECTIONS_MAX: Final = 1000
_CONNECTIONS_PER_HOST_MAX: Final = 16
_CONNECT_S: Final = 10
_KEEP_ALIVE_S: Final = 30
_ADDRESSES_MAX: Final = 8
_REASON_CHARS_MAX: Final = 300


class LookupFailed(OSError):
    """Brings an `OutboundError` through aiohttp, which expects an OSError."""

    def __init__(self, reason: OutboundError) -> None:
        super().__init__(str(reason))
        self.reason = reason


class PolicyResolver(AbstractResolver):
    """Looks up names for aiohttp, and keeps forbidden addresses from it.

    aiohttp connects to exactly these addresses and asks no second time, so that a name
    which answers differently the next time gains nothing.
    """

    def __init__(self, resolver: Resolver, policy: AddressPolicy) -> None:
        self._resolver = resolver
        self._policy = policy

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,
    ) -> list[ResolveResult]:
        """The permitted addresses of *host*."""
        try:
            found = await self._resolver.addresses(host)
        except OutboundError as error:
            raise LookupFailed(error) from error
        permitted = [
            ip
            for ip in found.ips
            if self._policy.permits(ip) and family in {socket.AF_UNSPEC, _family(ip)}
        ]
        if not permitted:
            raise LookupFailed(
                AddressRefused(f"{host} has no address that may be connected to")
            )
        return [
            ResolveResult(
                hostname=host,
                host=ip,
                port=port,
                family=_family(ip),
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for ip in permitted[:_ADDRESSES_MAX]
        ]

    async def close(self) -> None:
        """Nothing: the resolver belongs to who made it."""


def load_tls(trusted_ca_file: Path | None) -> ssl.SSLContext:
    """The authorities of this machine, and those in *trusted_ca_file*."""
    context = ssl.create_default_context()
    if trusted_ca_file is not None:
        context.load_verify_locations(trusted_ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Session:
    """One pool of connections, keyed by host, port and TLS name together.

    Without cookies, proxies and redirects. Answers are unpacked within their limits.
    """

    def __init__(
        self, resolver: Resolver, policy: AddressPolicy, tls: ssl.SSLContext
    ) -> None:
        self._policy = policy
        connector = aiohttp.TCPConnector(
            resolver=PolicyResolver(resolver, policy),
            ssl=tls,
            use_dns_cache=False,
            limit=_CONNECTIONS_MAX,
            limit_per_host=_CONNECTIONS_PER_HOST_MAX,
            keepalive_timeout=_KEEP_ALIVE_S,
        )
        self._http = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={
                "User-Agent": f"Tremula/{__version__}",
                "Accept-Encoding": ACCEPTED,
            },
        )

    @asynccontextmanager
    async def stream(
        self, endpoint: Endpoint, request: OutboundRequest, limits: Limits
    ) -> AsyncIterator[StreamedResponse]:
        """See `OutboundHttp.stream`."""
        if is_ip_literal(endpoint.host) and not self._policy.permits(endpoint.host):
            raise AddressRefused(f"{endpoint.host} may not be connected to")
        timer = asyncio.timeout(limits.timeout_s)
        try:
            async with timer:
                response = await self._send(endpoint, request, limits)
                try:
                    yield StreamedResponse(
                        response.status,
                        {name.lower(): text for name, text in response.headers.items()},
                        unpacked(
                            _bounded_chunks(response, limits.bytes_max),
                            response.headers.get("Content-Encoding", ""),
                            bytes_max=limits.bytes_max,
                        ),
                    )
                finally:
                    # One that was read to its end is back in the pool already.
                    response.close()
        except aiohttp.ClientError as error:
            raise _own_error(error) from error
        except TimeoutError as error:
            if not timer.expired():
                raise
            raise TimedOut(f"no answer within {limits.timeout_s:g} s") from error

    async def close(self) -> None:
        """End all connections."""
        await self._http.close()

    async def _send(
        self, endpoint: Endpoint, request: OutboundRequest, limits: Limits
    ) -> aiohttp.ClientResponse:
        scheme = "http" if endpoint.tls_name is None else "https"
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        return await self._http.request(
            request.method,
            URL(f"{scheme}://{host}:{endpoint.port}{request.uri}", encoded=True),
            headers={**request.headers, "Host": endpoint.host_header},
            data=request.body,
            server_hostname=endpoint.tls_name,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT_S, sock_read=limits.idle_s
            ),
        )


async def _bounded_chunks(
    response: aiohttp.ClientResponse, bytes_max: int
) -> AsyncIterator[bytes]:
    if (response.content_length or 0) > bytes_max:
        raise AnswerTooLarge(f"an answer of {response.content_length} bytes")
    size_bytes = 0
    async for chunk in response.content.iter_any():
        size_bytes += len(chunk)
        if size_bytes > bytes_max:
            raise AnswerTooLarge(f"an answer of more than {bytes_max} bytes")
        yield chunk


def _own_error(error: aiohttp.ClientError) -> OutboundError:
    own: type[OutboundError]
    match error:
        case aiohttp.ClientConnectorDNSError(os_error=LookupFailed(reason=reason)):
            return reason
        case (
            aiohttp.ClientConnectorError()
            | aiohttp.ClientConnectorCertificateError()
            | aiohttp.ConnectionTimeoutError()
        ):
            own = ConnectFailed
        case aiohttp.ServerTimeoutError():
            own = TimedOut
        case aiohttp.InvalidURL():
            own = BadUrl
        case _:
            own = RequestFailed
    text = " ".join(str(error).split()) or type(error).__name__
    return own(text[:_REASON_CHARS_MAX])


def _family(ip: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ip_address(ip).version == 6 else socket.AF_INET
