"""`OutboundHttp`: the only way by which this server makes HTTP requests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from tremula.infra.outbound.address_policy import AddressPolicy
from tremula.infra.outbound.endpoint import (
    Endpoint,
    FollowedResponse,
    HttpUrl,
    Limits,
    OutboundRequest,
    OutboundResponse,
    StreamedResponse,
)
from tremula.infra.outbound.errors import BadRedirect, TimedOut
from tremula.infra.outbound.resolver import Resolver

if TYPE_CHECKING:
    import ssl

    from tremula.infra.outbound.session import Session

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class OutboundHttp:
    """Requests to other servers, within the address policy and the given limits.

    Certificates are always verified; *trusted_ca_file* adds authorities to those of
    the machine. Nothing is loaded or opened before the first request.
    """

    def __init__(
        self,
        resolver: Resolver,
        policy: AddressPolicy,
        *,
        trusted_ca_file: Path | None = None,
    ) -> None:
        self._resolver = resolver
        self._policy = policy
        self._trusted_ca_file = trusted_ca_file
        self._session: Session | None = None
        self._opening = asyncio.Lock()

    async def request(
        self, endpoint: Endpoint, request: OutboundRequest, limits: Limits
    ) -> OutboundResponse:
        """Make one request and read the whole answer; redirects are not followed.

        Raises:
            OutboundError: there is no whole answer within *limits*.
        """
        async with self.stream(endpoint, request, limits) as response:
            body = b"".join([chunk async for chunk in response.chunks])
            return OutboundResponse(response.status, response.headers, body)

    async def get(
        self, url: str, limits: Limits, *, redirects_max: int = 0
    ) -> OutboundResponse:
        """GET *url* and follow redirects, each held to the policy like the first.

        The timeout of *limits* is for all of them together. No redirect may lead from
        https to http.

        Raises:
            OutboundError: as `request`, or a redirect that can't be followed.
        """
        try:
            async with (
                asyncio.timeout(limits.timeout_s),
                self.follow(url, limits, redirects_max=redirects_max) as followed,
            ):
                response = followed.response
                body = b"".join([chunk async for chunk in response.chunks])
                return OutboundResponse(response.status, response.headers, body)
        except TimeoutError as error:
            raise TimedOut(f"no answer within {limits.timeout_s:g} s") from error

    @asynccontextmanager
    async def follow(
        self,
        url: str,
        limits: Limits,
        *,
        redirects_max: int = 0,
        headers: Mapping[str, str] | None = None,
        permits: Callable[[str], bool] = lambda _: True,
    ) -> AsyncIterator[FollowedResponse]:
        """GET *url* as `get` does, and read the answer piece by piece.

        The timeout is for each request. Nothing is asked for that *permits* refuses.

        Raises:
            OutboundError: as `get`; also while reading.
        """
        parsed = HttpUrl.parse(url)
        for _ in range(redirects_max + 1):
            if not permits(str(parsed)):
                raise BadRedirect(f"{parsed.endpoint.host} may not be asked")
            request = OutboundRequest("GET", parsed.uri, headers or {})
            async with self.stream(parsed.endpoint, request, limits) as response:
                location = response.headers.get("location")
                if response.status not in _REDIRECTS or location is None:
                    yield FollowedResponse(str(parsed), response)
                    return
            parsed = _redirected(parsed, location)
        raise BadRedirect(f"more than {redirects_max} redirects")

    @asynccontextmanager
    async def stream(
        self, endpoint: Endpoint, request: OutboundRequest, limits: Limits
    ) -> AsyncIterator[StreamedResponse]:
        """Make one request and read the answer piece by piece.

        The time for which the caller looks at the pieces counts towards the timeout.
        A request that HTTP calls idempotent is sent once more if the connection ends
        before the answer begins: kept connections may have been closed meanwhile.

        Raises:
            OutboundError: there is no answer within *limits*; also while reading.
        """
        session = self._session or await self._open()
        async with session.stream(endpoint, request, limits) as response:
            yield response

    async def close(self) -> None:
        """End all connections; the resolver belongs to who made it."""
        if self._session is not None:
            await self._session.close()

    async def _open(self) -> "Session":
        async with self._opening:
            if self._session is None:
                # In a thread, so that the event loop does not stand still meanwhile.
                session_class, tls = await asyncio.to_thread(
                    _load, self._trusted_ca_file
                )
                self._session = session_class(self._resolver, self._policy, tls)
            return self._session


def _load(trusted_ca_file: Path | None) -> "tuple[type[Session], ssl.SSLContext]":
    # Loaded with the first request only: see the module.
    from tremula.infra.outbound.session import Session, load_tls  # noqa: PLC0415

    return Session, load_tls(trusted_ca_file)


def _redirected(origin: HttpUrl, location: str) -> HttpUrl:
    try:
        target = HttpUrl.parse(urljoin(str(origin), location))
    except ValueError as error:
        raise BadRedirect("a redirect to what is no URL") from error
    if origin.endpoint.tls_name is not None and target.endpoint.tls_name is None:
        raise BadRedirect("a redirect from https to http")
    return target
