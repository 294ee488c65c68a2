"""The ``X-Matrix`` authorisation of requests between servers (SS "Request
Authentication"): what is signed, and the header that carries the signature.
"""

import re
from typing import Any, Final

from msgspec import Struct

from tremula.protocol.canonical import encode_canonical, encode_canonical_lenient
from tremula.protocol.errors import BadJson, InvalidParam, Unauthorized
from tremula.protocol.identifiers import ServerName, parse_server_name
from tremula.protocol.signing import SigningKey, is_key_id, verify_bytes

HEADER_CHARS_MAX = 4096

_SCHEME = re.compile(r"X-Matrix +[ \t,]*", re.IGNORECASE)
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a token of RFC 9110
_QUOTED = r'"((?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*)"'
# "the recipient should allow colons to be included in values without … quotes"
_UNQUOTED = _TOKEN.replace("[", "[:", 1)
# RFC 9110, 11.2: auth-param = token BWS "=" BWS ( token / quoted-string )
_PARAM = re.compile(rf"({_TOKEN})[ \t]*=[ \t]*(?:{_QUOTED}|({_UNQUOTED}))")
# RFC 9110, 5.6.1.2: "A recipient MUST parse and ignore … empty list elements".
_SEPARATOR = re.compile(r"[ \t]*(?:,[ \t]*)+")
_ESCAPED: Final = re.compile(r"\\(.)")


class SignedRequest(Struct, frozen=True, kw_only=True):
    """A request between servers, as its signature covers it.

    ``uri`` is the path and the query string as they are on the wire. ``content`` is the
    parsed JSON body, None for a request without one.
    """

    method: str
    uri: str
    origin: ServerName
    destination: ServerName
    content: object = None

    def signed_bytes(self) -> bytes:
        """The canonical JSON that is signed.

        A transaction may carry events of room versions 1 to 5, whose numbers are not
        canonical: one of them must not keep the others from being sent.

        Raises:
            BadJson: the content cannot be encoded.
        """
        value: dict[str, Any] = {
            "method": self.method,
            "uri": self.uri,
            "origin": self.origin,
            "destination": self.destination,
        }
        if self.content is not None:
            value["content"] = self.content
        try:
            return encode_canonical(value)
        except BadJson:
            return encode_canonical_lenient(value)


class XMatrix(Struct, frozen=True, kw_only=True):
    """The parameters of the header. Servers before v1.3 send no ``destination``."""

    origin: ServerName
    destination: str | None
    key_id: str
    signature: str


def authorization_header(request: SignedRequest, key: SigningKey) -> str:
    """The value of the ``Authorization`` header that signs *request* with *key*.

    Raises:
        BadJson: the content cannot be encoded.
    """
    signature = key.sign(request.signed_bytes())
    return (
        f'X-Matrix origin="{request.origin}",destination="{request.destination}",'
        f'key="{key.key_id}",sig="{signature}"'
    )


def parse_authorization(header: str | None) -> XMatrix:
    """Read the ``Authorization`` header of a request from another server.

    Raises:
        Unauthorized: there is none, or it is malformed.
    """
    if header is None:
        raise Unauthorized("the request is not signed: no Authorization header")
    params = _parse_params(header)
    try:
        origin = parse_server_name(params.get("origin"))
    except InvalidParam as error:
        raise Unauthorized("X-Matrix: origin is not a server name") from error
    key_id = params.get("key", "")
    if not is_key_id(key_id):
        raise Unauthorized("X-Matrix: key is not the ID of an Ed25519 key")
    # The specification's list says `signature`, its examples `sig`, as everyone does.
    signature = params.get("sig")
    if not signature:
        raise Unauthorized("X-Matrix: sig is missing")
    return XMatrix(
        origin=origin,
        destination=params.get("destination"),
        key_id=key_id,
        signature=signature,
    )


def verify_request(
    request: SignedRequest, authorization: XMatrix, public_key: bytes
) -> None:
    """Check the signature of *request* by the key that *authorization* names.

    Raises:
        BadSignature: it is wrong.
        BadJson: the content cannot be encoded.
    """
    verify_bytes(public_key, authorization.signature, request.signed_bytes())


def _parse_params(header: str) -> dict[str, str]:
    """The parameters by their names in lower case."""
    scheme = _SCHEME.match(header)
    if len(header) > HEADER_CHARS_MAX or scheme is None:
        raise Unauthorized("the request is not signed: no X-Matrix authorisation")
    params: dict[str, str] = {}
    text = header.rstrip(" \t,")
    at = scheme.end()
    while at < len(text):
        param = _PARAM.match(text, at)
        if param is None:
            raise Unauthorized("X-Matrix: malformed parameters")
        name = param[1].lower()
        if name in params:
            raise Unauthorized("X-Matrix: a parameter occurs twice")
        params[name] = param[3] or _ESCAPED.sub(r"\1", param[2])
        at = param.end()
        if at < len(text):
            separator = _SEPARATOR.match(text, at)
            if separator is None:
                raise Unauthorized("X-Matrix: malformed parameters")
            at = separator.end()
    return params
