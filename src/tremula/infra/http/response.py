"""What a handler may return, and its way onto the wire."""

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import lru_cache
from typing import Any

import orjson
from msgspec import Struct, field

from tremula.infra.http.cors import CORS_HEADERS
from tremula.infra.http.heads import RawHeaders, format_head
from tremula.infra.http.websocket import Conversation


class StreamedBody(Struct, frozen=True):
    """A body of ``size_bytes`` that is sent piece by piece, as fast as it is taken.

    ``chunks`` is begun only if the body is sent at all. What it gives is done with when
    it is asked for more.
    """

    size_bytes: int
    chunks: Callable[[], AsyncGenerator[bytes | memoryview]]

    def __len__(self) -> int:
        """As of other bodies: what goes into ``Content-Length``."""
        return self.size_bytes


class Response(Struct, frozen=True):
    """An answer that needs more than a JSON body and status 200.

    A ``dict`` is sent as JSON. ``bytes`` are sent as they are, as JSON too unless
    *headers* name another ``Content-Type``.
    """

    status: int = 200
    body: bytes | dict[str, Any] | StreamedBody | Conversation = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


Json = dict[str, Any] | bytes | Response
"""A handler's result: an object to encode, ready JSON, or a whole answer."""

_CONTENT_TYPE = b"content-type"
_JSON_TYPE = (_CONTENT_TYPE, b"application/json")
_JSON_HEADERS: RawHeaders = [_JSON_TYPE, *CORS_HEADERS]
# Of nearly all answers: only the length is left to be said.
_JSON_HEAD = format_head(200, [*_JSON_HEADERS, (b"content-length", b"%d")])

# What would end a header, and begin another one.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")

# "A server MUST NOT send a Content-Length header field" with 204; that of 304 would be
# of what is not sent.
_WITHOUT_BODY = (204, 304)


class Encoded(Struct):
    """A response as it is sent. The headers of the connection are yet to be put at the
    end of ``head``, and the empty line.
    """

    status: int
    head: bytes
    body: bytes | StreamedBody | Conversation


def encode_response(result: Json) -> Encoded:
    """Turn a handler's result into bytes, with length and CORS headers."""
    if type(result) is bytes:
        body = result
    elif isinstance(result, Response):
        return _encode_whole(result)
    else:
        body = orjson.dumps(result)
    return Encoded(200, _JSON_HEAD % len(body), body)


def _encode_whole(response: Response) -> Encoded:
    body = response.body
    if isinstance(body, dict):
        body = orjson.dumps(body)
    own = [_header(name, value) for name, value in response.headers.items()]
    if isinstance(body, Conversation):
        return _encoded(response.status, own, body)
    if response.status in _WITHOUT_BODY:
        return _encoded(response.status, [*CORS_HEADERS, *own], b"")
    names = {name for name, _ in own}
    preset = [header for header in _JSON_HEADERS if header[0] not in names]
    length = (b"content-length", b"%d" % len(body))
    return _encoded(response.status, [*preset, *own, length], body)


def _encoded(
    status: int, headers: RawHeaders, body: bytes | StreamedBody | Conversation
) -> Encoded:
    return Encoded(status, format_head(status, headers), body)


@lru_cache(maxsize=256)
def _header(name: str, value: str) -> tuple[bytes, bytes]:
    """Most are the same in each answer that has them."""
    if _CONTROLS.search(value):
        raise ValueError("a header may not contain control characters")
    return name.lower().encode("ascii"), value.encode("latin-1")
