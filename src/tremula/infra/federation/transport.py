"""The boundary to the network: below it bytes, above it requests that are signed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol, TypeVar

from msgspec import Struct, field

from tremula.infra.federation.discovery import Discovery
from tremula.infra.federation.errors import PeerUnreachable
from tremula.infra.outbound.endpoint import Endpoint, Limits, OutboundRequest
from tremula.infra.outbound.errors import AnswerTooLarge, ConnectFailed, OutboundError
from tremula.infra.outbound.http import OutboundHttp
from tremula.protocol.identifiers import ServerName

_Answer = TypeVar("_Answer")


class StreamedAnswer(Struct, frozen=True):
    """An answer whose body is still coming; ``chunks`` can be gone through once.

    Names of ``headers`` are in lower case.
    """

    status: int
    chunks: AsyncIterator[bytes]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class FederationTransport(Protocol):
    """Takes requests to other servers. Simulations have one without a network.

    ``uri`` is the percent-encoded path with the query.
    """

    async def send(
        self,
        destination: ServerName,
        method: str,
        uri: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
        bytes_max: int,
    ) -> tuple[int, bytes]:
        """The status and body of the answer.

        Raises:
            PeerUnreachable: there is none in time, or it is larger than *bytes_max*.
        """
        ...

    def stream(
        self,
        destination: ServerName,
        method: str,
        uri: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
        bytes_max: int,
    ) -> AbstractAsyncContextManager[StreamedAnswer]:
        """As `send`, but the body is read piece by piece, which may fail as well."""
        ...


class HttpTransport(Struct, frozen=True):
    """Implements `FederationTransport` over HTTPS."""

    discovery: Discovery
    http: OutboundHttp

    async def send(
        self,
        destination: ServerName,
        method: str,
        uri: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
        bytes_max: int,
    ) -> tuple[int, bytes]:
        """The status and body of the answer; the timeout is for all endpoints."""
        request = OutboundRequest(method, uri, headers, body)
        limits = Limits(bytes_max=bytes_max, timeout_s=timeout_s)
        async with _unreachable(destination, timeout_s):
            answer = await self._first_answer(
                destination,
                method,
                lambda endpoint: self.http.request(endpoint, request, limits),
            )
        return answer.status, answer.body

    @asynccontextmanager
    async def stream(
        self,
        destination: ServerName,
        method: str,
        uri: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
        bytes_max: int,
    ) -> AsyncIterator[StreamedAnswer]:
        """As `send`, but the body is read piece by piece."""
        request = OutboundRequest(method, uri, headers, body)
        limits = Limits(bytes_max=bytes_max, timeout_s=timeout_s)
        async with _unreachable(destination, timeout_s), AsyncExitStack() as stack:
            answer = await self._first_answer(
                destination,
                method,
                lambda endpoint: stack.enter_async_context(
                    self.http.stream(endpoint, request, limits)
                ),
            )
            yield StreamedAnswer(answer.status, answer.chunks, answer.headers)

    async def _first_answer(
        self,
        destination: ServerName,
        method: str,
        attempt: Callable[[Endpoint], Awaitable[_Answer]],
    ) -> _Answer:
        """The answer of the first endpoint that gives one."""
        *others, last = await self.discovery.endpoints(destination)
        for endpoint in others:
            try:
                return await attempt(endpoint)
            except OutboundError as error:
                if not _may_be_repeated(method, error):
                    raise
        return await attempt(last)


def _may_be_repeated(method: str, error: OutboundError) -> bool:
    """Whether the request was not sent, or does no harm when it comes twice."""
    if isinstance(error, ConnectFailed):
        return True
    return method == "GET" and not isinstance(error, AnswerTooLarge)


@asynccontextmanager
async def _unreachable(
    destination: ServerName, timeout_s: float
) -> AsyncIterator[None]:
    timer = asyncio.timeout(timeout_s)
    try:
        async with timer:
            yield
    except OutboundError as error:
        raise PeerUnreachable(f"{destination}: {error}") from error
    except TimeoutError as error:
        if not timer.expired():
            raise
        raise PeerUnreachable(
            f"{destination}: no answer within {timeout_s:g} s"
        ) from error
