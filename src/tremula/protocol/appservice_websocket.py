"""What is said on the websocket of an application service (``fi.mau.as_sync``).

JSON objects with a ``command``. Whoever wants an answer gives an ``id`` from 1 on, and
gets a ``response`` or an ``error`` with it. COMPAT(heisenbridge, 1.15): all that comes
from the server has a ``status``, and whatever has the status "ok" a ``command``.
"""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import unquote

import msgspec
import orjson
from msgspec import Meta, Struct

from tremula.protocol.errors import BadJson, NotJson

CONNECTED: Final = b'{"command":"connect","status":"connected"}'

# Close codes, beside those of RFC 6455.
CONNECTION_REPLACED: Final = 4001
NOT_ACKNOWLEDGED: Final = 4002

ERROR_CODE_UNKNOWN_COMMAND: Final = "M_UNRECOGNIZED"

_NO_ANSWER_WANTED: Final = 0
_JSON: Final = "application/json"
# The last one is of what is nested too deep.
_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Frame(Struct, frozen=True):
    """What an application service says; ``data`` is JSON that was not read yet."""

    command: Annotated[str, Meta(max_length=255)]
    id: Annotated[int, Meta(ge=0, lt=2**53)] = _NO_ANSWER_WANTED
    data: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def wants_answer(self) -> bool:
        """Whether a response is waited for."""
        return self.id != _NO_ANSWER_WANTED


class FrameError(Struct, frozen=True):
    """The data of an ``error``."""

    code: str = "M_UNKNOWN"
    message: str = ""


class ProxiedRequest(Struct, frozen=True):
    """A request that the other side makes to itself, as if it came over HTTP.

    ``path`` is escaped; ``body`` is JSON, or nothing.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = {}
    body: bytes = b""


class ProxiedResponse(Struct, frozen=True):
    """The answer; ``body`` is what it would have been over HTTP."""

    status: int
    body: bytes


class _Proxied(Struct):
    status: Annotated[int, Meta(ge=100, lt=1000)]
    headers: dict[str, list[str]] | None = None
    body: msgspec.Raw = msgspec.Raw(b"null")


_frames: Final = msgspec.json.Decoder(Frame)
_errors: Final = msgspec.json.Decoder(FrameError)
_proxied: Final = msgspec.json.Decoder(_Proxied)


def parse_frame(raw: bytes) -> Frame:
    """Read what came.

    Raises:
        NotJson: it is not JSON.
        BadJson: it is no command.
    """
    try:
        return _frames.decode(raw)
    except msgspec.ValidationError as error:
        raise BadJson(str(error)) from None
    except _MALFORMED as error:
        raise NotJson(str(error)) from None


def parse_error(data: bytes) -> FrameError:
    """Read the data of an ``error``; what it says wrongly is left out."""
    try:
        return _errors.decode(data)
    except _MALFORMED:
        return FrameError()


def parse_proxied_response(data: bytes) -> ProxiedResponse:
    """Read the data of the response to an ``http_proxy``.

    Raises:
        BadJson: it is none.
    """
    try:
        proxied = _proxied.decode(data)
    except _MALFORMED as error:
        raise BadJson(str(error)) from None
    body = bytes(proxied.body)
    if body == b"null":
        body = b""
    elif body.startswith(b'"') and not _is_json(proxied.headers or {}):
        # "a non-JSON body is an unpadded base64 string"
        body = _from_base64(body)
    return ProxiedResponse(proxied.status, body)


def transaction_frame(request_id: int, txn_id: str, body: bytes) -> bytes:
    """Bring a transaction; *body* is the object of AS sendTransaction."""
    head = b'{"command":"transaction","id":%d,"status":"ok","txn_id":%b' % (
        request_id,
        orjson.dumps(txn_id),
    )
    rest = body.lstrip()[1:]
    separator = b"" if rest.lstrip().startswith(b"}") else b","
    return head + separator + rest


def http_proxy_frame(request_id: int, request: ProxiedRequest) -> bytes:
    """Have the other side answer a request as if it had come over HTTP."""
    data = {
        "method": request.method,
        "path": unquote(request.path),
        "escaped_path": request.path,
        "query": request.query,
        "headers": {name: [value] for name, value in request.headers.items()},
        "body": orjson.Fragment(request.body or b"null"),
    }
    return _frame("http_proxy", request_id, data)


def response_frame(request_id: int, data: Mapping[str, Any]) -> bytes:
    """Answer a command."""
    return _frame("response", request_id, data)


def error_frame(request_id: int, code: str, message: str) -> bytes:
    """Refuse a command."""
    return _frame("error", request_id, {"code": code, "message": message})


def disconnect_reason(status: str) -> str:
    """The reason of a close frame."""
    return f'{{"command":"disconnect","status":"{status}"}}'


def _frame(command: str, request_id: int, data: Mapping[str, Any]) -> bytes:
    return orjson.dumps(
        {"command": command, "id": request_id, "status": "ok", "data": data}
    )


def _is_json(headers: Mapping[str, list[str]]) -> bool:
    return any(
        value.partition(";")[0].strip().lower() == _JSON
        for name, values in headers.items()
        if name.lower() == "content-type"
        for value in values
    )


def _from_base64(raw: bytes) -> bytes:
    text: str = orjson.loads(raw)
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadJson("the body is neither JSON nor Base64") from None
