"""`FederationClient`: signed requests to other servers, and their answers parsed."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote, urlencode

from msgspec import Struct

from tremula.infra.federation.errors import PeerError, PeerUnreachable, RemoteError
from tremula.infra.federation.peers import Peers
from tremula.infra.federation.transport import FederationTransport, StreamedAnswer
from tremula.protocol.canonical import encode_canonical, encode_canonical_lenient
from tremula.protocol.errors import BadJson, NotJson
from tremula.protocol.identifiers import ServerName
from tremula.protocol.json import parse_json, parse_json_exact
from tremula.protocol.signing import SigningKey
from tremula.protocol.x_matrix import SignedRequest, authorization_header

Query = Mapping[str, str | Sequence[str]]

_TIMEOUT_S: Final = 30.0
_BYTES_MAX: Final = 16 * 1024 * 1024
_ERROR_BYTES_MAX: Final = 64 * 1024
_ERRCODE_CHARS_MAX: Final = 100
_MESSAGE_CHARS_MAX: Final = 300
_RETRY_MS_MAX: Final = 3_600_000


class FederationClient(Struct, frozen=True):
    """Asks other servers in this server's name.

    Paths are percent-encoded already. Every method raises:

    - `FederationDenied`: this server does not speak with the other; nothing was sent;
    - `PeerUnreachable`: no answer in time, or one that is not strict JSON or too large;
    - `PeerError`: the other server said no;
    - `BadJson`: the body can't be encoded.
    """

    peers: Peers
    key: SigningKey
    transport: FederationTransport

    async def get(
        self,
        destination: ServerName,
        path: str,
        query: Query | None = None,
        *,
        timeout_s: float = _TIMEOUT_S,
        bytes_max: int = _BYTES_MAX,
    ) -> Any:  # noqa: ANN401 - JSON of any shape
        """The answer of *destination*, parsed."""
        request = self._signed("GET", destination, path, query)
        return await self._send(request, timeout_s, bytes_max)

    async def put(
        self,
        destination: ServerName,
        path: str,
        body: object,
        query: Query | None = None,
        *,
        timeout_s: float = _TIMEOUT_S,
        bytes_max: int = _BYTES_MAX,
    ) -> Any:  # noqa: ANN401
        """Send *body* and return the answer, parsed."""
        request = self._signed("PUT", destination, path, query, body)
        return await self._send(request, timeout_s, bytes_max)

    async def post(
        self,
        destination: ServerName,
        path: str,
        body: object,
        query: Query | None = None,
        *,
        timeout_s: float = _TIMEOUT_S,
        bytes_max: int = _BYTES_MAX,
    ) -> Any:  # noqa: ANN401
        """Send *body* and return the answer, parsed."""
        request = self._signed("POST", destination, path, query, body)
        return await self._send(request, timeout_s, bytes_max)

    @asynccontextmanager
    async def put_and_stream(
        self,
        destination: ServerName,
        path: str,
        body: object,
        query: Query | None = None,
        *,
        timeout_s: float,
        bytes_max: int,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send *body*; the bytes of a successful answer, unparsed, piece by piece.

        Reading a piece may raise `PeerUnreachable` as well.
        """
        request = self._signed("PUT", destination, path, query, body)
        async with self._stream(request, timeout_s, bytes_max) as answer:
            yield answer.chunks

    @asynccontextmanager
    async def get_and_stream(
        self,
        destination: ServerName,
        path: str,
        query: Query | None = None,
        *,
        timeout_s: float,
        bytes_max: int,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Ask, and read the answer as with `put_and_stream`."""
        async with self.get_with_headers(
            destination, path, query, timeout_s=timeout_s, bytes_max=bytes_max
        ) as answer:
            yield answer.chunks

    @asynccontextmanager
    async def get_with_headers(
        self,
        destination: ServerName,
        path: str,
        query: Query | None = None,
        *,
        timeout_s: float,
        bytes_max: int,
    ) -> AsyncIterator[StreamedAnswer]:
        """As `get_and_stream`, of what is no JSON and says what it is in its head."""
        request = self._signed("GET", destination, path, query)
        async with self._stream(request, timeout_s, bytes_max) as answer:
            yield answer

    @asynccontextmanager
    async def _stream(
        self, request: SignedRequest, timeout_s: float, bytes_max: int
    ) -> AsyncIterator[StreamedAnswer]:
        destination = request.destination
        headers, encoded = self._head_and_body(request)
        async with self.transport.stream(
            destination,
            request.method,
            request.uri,
            headers=headers,
            body=encoded,
            timeout_s=timeout_s,
            bytes_max=bytes_max,
        ) as answer:
            if not _is_success(answer.status):
                raise _refusal(destination, answer.status, await _start(answer.chunks))
            yield answer

    def _signed(
        self,
        method: str,
        destination: ServerName,
        path: str,
        query: Query | None,
        content: object = None,
    ) -> SignedRequest:
        self.peers.check(destination)
        encoded = urlencode(query, doseq=True, quote_via=quote) if query else ""
        return SignedRequest(
            method=method,
            uri=f"{path}?{encoded}" if encoded else path,
            origin=self.peers.own,
            destination=destination,
            content=content,
        )

    def _head_and_body(
        self, request: SignedRequest
    ) -> tuple[Mapping[str, str], bytes | None]:
        headers = {"Authorization": authorization_header(request, self.key)}
        if request.content is None:
            return headers, None
        headers["Content-Type"] = "application/json"
        return headers, _encode(request.content)

    async def _send(
        self, request: SignedRequest, timeout_s: float, bytes_max: int
    ) -> object:
        headers, body = self._head_and_body(request)
        status, answer = await self.transport.send(
            request.destination,
            request.method,
            request.uri,
            headers=headers,
            body=body,
            timeout_s=timeout_s,
            bytes_max=bytes_max,
        )
        if not _is_success(status):
            raise _refusal(request.destination, status, answer)
        try:
            return parse_json_exact(answer)
        except NotJson as error:
            raise PeerUnreachable(f"{request.destination}: {error.message}") from error


def _encode(content: object) -> bytes:
    try:
        return encode_canonical(content)
    except BadJson:
        # Events of room versions 1 to 5 may hold numbers that are not canonical.
        return encode_canonical_lenient(content)


def _is_success(status: int) -> bool:
    return 200 <= status < 300


async def _start(chunks: AsyncIterator[bytes]) -> bytes:
    """What can be read of an error's body without going far."""
    start = b""
    async for chunk in chunks:
        start += chunk
        if len(start) > _ERROR_BYTES_MAX:
            break
    return start


def _refusal(destination: ServerName, status: int, body: bytes) -> RemoteError:
    """The error of an answer that is none.

    What stands before a server that is down answers for it, too: only a standard error,
    or a status that blames the request, counts as an answer of the server itself.
    """
    error = _standard_error(body)
    errcode = error.get("errcode")
    if isinstance(errcode, str):
        return PeerError(
            status,
            errcode[:_ERRCODE_CHARS_MAX],
            _shortened(error.get("error")) or "",
            room_version=_shortened(error.get("room_version")),
            retry_after_ms=_milliseconds(error.get("retry_after_ms")),
        )
    if 400 <= status < 500:
        return PeerError(status, "M_UNKNOWN", "no standard error")
    return PeerUnreachable(f"{destination}: status {status} without a standard error")


def _shortened(value: object) -> str | None:
    return value[:_MESSAGE_CHARS_MAX] if isinstance(value, str) else None


def _milliseconds(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return max(0, min(value, _RETRY_MS_MAX))


def _standard_error(body: bytes) -> Mapping[str, object]:
    if len(body) > _ERROR_BYTES_MAX:
        return {}
    try:
        parsed = parse_json(body)
    except NotJson:
        return {}
    return parsed if isinstance(parsed, dict) else {}
