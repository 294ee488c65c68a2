"""Where a request goes, what it is, and what may come back."""

import re
from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_address
from typing import Final, Self
from urllib.parse import urlsplit

from msgspec import Struct, field

from tremula.infra.outbound.errors import BadUrl
from tremula.protocol.identifiers import is_valid_server_name

_URL_CHARS_MAX: Final = 2048
_URL: Final = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where to connect, and whom to expect there.

    ``tls_name`` goes into SNI and must stand in the certificate; None is plain HTTP.
    An IPv6 address has no brackets in ``host`` and ``tls_name``.
    """

    host: str
    port: int
    tls_name: str | None
    host_header: str


class HttpUrl(Struct, frozen=True):
    """A URL taken apart: the endpoint, and the path with the query."""

    endpoint: Endpoint
    uri: str

    def __str__(self) -> str:
        """The URL again."""
        scheme = "http" if self.endpoint.tls_name is None else "https"
        return f"{scheme}://{self.endpoint.host_header}{self.uri}"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take *url* apart; what follows ``#`` is dropped.

        Raises:
            BadUrl: it is no absolute http(s) URL in ASCII without user and
                password, or longer than 2,048 characters.
        """
        if len(url) > _URL_CHARS_MAX or not _URL.fullmatch(url):
            raise BadUrl("not a URL that can be requested")
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise BadUrl("not a URL that can be requested") from error
        if not is_valid_server_name(parts.netloc):
            raise BadUrl("not a host and port that can be connected to")
        host, port = split_host(parts.netloc)
        endpoint = Endpoint(
            host=host,
            port=_DEFAULT_PORTS[parts.scheme] if port is None else port,
            tls_name=host if parts.scheme == "https" else None,
            host_header=parts.netloc,
        )
        query = f"?{parts.query}" if parts.query else ""
        return cls(endpoint, (parts.path or "/") + query)


class OutboundRequest(Struct, frozen=True):
    """What is sent. ``uri`` is the percent-encoded path with the query."""

    method: str
    uri: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None


class Limits(Struct, frozen=True, kw_only=True):
    """What an answer may cost. ``idle_s`` is the longest wait for its next piece.

    ``bytes_max`` holds for what comes, and for what is in it if it is packed.
    """

    bytes_max: int
    timeout_s: float
    idle_s: float = 15


class OutboundResponse(Struct, frozen=True):
    """A whole answer. Header names are in lower case; of a name, the last counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class StreamedResponse(Struct, frozen=True):
    """An answer whose body is still coming; ``chunks`` can be gone through once."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class FollowedResponse(Struct, frozen=True):
    """The answer that redirects led to, and the URL that gave it."""

    url: str
    response: StreamedResponse


def split_host(server_name: str) -> tuple[str, int | None]:
    """Host in lower case and without brackets, and the port of a valid server name."""
    if server_name.startswith("["):
        host, _, port = server_name[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = server_name.partition(":")
    return host.lower(), int(port) if port else None


def is_ip_literal(host: str) -> bool:
    """Whether *host*, without brackets, is an IP address and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
