"""Identity servers that the operator trusts (Identity Service API)."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, TypeVar

import msgspec
import structlog
from msgspec import Struct

from tremula.infra.outbound.endpoint import HttpUrl, Limits, OutboundRequest
from tremula.infra.outbound.errors import OutboundError
from tremula.infra.outbound.web import Web
from tremula.protocol.canonical import encode_canonical
from tremula.protocol.email_addresses import EmailAddress
from tremula.protocol.errors import (
    BadJson,
    Forbidden,
    InvalidParam,
    MatrixError,
    NotJson,
    ServerNotTrusted,
    Unknown,
)
from tremula.protocol.identifiers import ServerName, UserId, parse_user_id
from tremula.protocol.json import parse_json
from tremula.protocol.unprinted import Unprinted
from tremula.protocol.x_matrix import SignedRequest, authorization_header
from tremula.rooms.room import OwnServer

_PATH: Final = "/_matrix/identity/v2"
_LIMITS: Final = Limits(bytes_max=65_536, timeout_s=20)
# As it stands in a header.
_ACCESS_TOKEN: Final = re.compile(r"[!-~]{1,4096}")
_TOKEN: Final = re.compile(r"[0-9a-zA-Z.=_-]{1,255}")
_ERRCODE: Final = re.compile(r"[A-Za-z0-9_.]{1,255}")
_MESSAGE_CHARS_MAX: Final = 1000
_KEYS_MAX: Final = 10
_TOKEN_ERRORS: Final = frozenset({"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"})
# What a server answers that does not know how to unbind.
_NO_UNBIND: Final = frozenset({400, 404, 501})

_Answer = TypeVar("_Answer", bound=Struct)

log = structlog.get_logger(__name__)


class Access(Unprinted, frozen=True):
    """An identity server, and the token that a user has from it."""

    id_server: str
    token: str


class IdentityServerRefused(MatrixError):
    """The error of an identity server, which the client is told as it is."""

    def __init__(self, errcode: str, message: str, *, status: int) -> None:
        super().__init__(message, status=status)
        self._errcode = errcode

    def body(self) -> dict[str, object]:
        """The JSON object of the error response."""
        return {**super().body(), "errcode": self._errcode}


class IdentityServerFailed(Unknown):
    """No answer that can be used; ``answered`` is the status, if there was one."""

    http_status = 502

    def __init__(self, answered: int | None = None) -> None:
        super().__init__("the identity server does not answer as it should")
        self.answered = answered


class IdentityKey(Struct, frozen=True):
    """A key that an invitation may be signed with."""

    public_key: str
    key_validity_url: str


class StoredInvite(Struct, frozen=True):
    """What an identity server says of an invitation that it keeps."""

    token: str
    public_keys: list[IdentityKey]
    display_name: str

    def content(self) -> dict[str, Any]:
        """That of the room's ``m.room.third_party_invite``."""
        keys: list[dict[str, Any]] = [msgspec.to_builtins(k) for k in self.public_keys]
        return {"display_name": self.display_name, **keys[0], "public_keys": keys}


class _HashDetails(Struct, frozen=True):
    lookup_pepper: str


class _Mappings(Struct, frozen=True):
    mappings: dict[str, str]


class IdentityServers(Struct, frozen=True):
    """Asks identity servers, over the address policy of all that goes out.

    Each method raises ``ServerNotTrusted`` for servers that the operator does not
    name, `IdentityServerRefused` and `IdentityServerFailed`.
    """

    web: Web
    trusted: frozenset[ServerName]
    own: OwnServer

    def is_trusted(self, id_server: str) -> bool:
        """Whether the operator names that server."""
        return id_server in self.trusted

    async def bind(
        self, access: Access, user_id: UserId, sid: str, client_secret: str
    ) -> None:
        """Publish that the address proved there, in the session *sid*, is a user's."""
        content = {"sid": sid, "client_secret": client_secret, "mxid": user_id}
        await self._ask(access, "POST", "/3pid/bind", content)

    async def unbind(
        self, id_server: str, user_id: UserId, medium: str, address: str
    ) -> bool:
        """Take that back; False if that server can't."""
        threepid = {"medium": medium, "address": address}
        request = SignedRequest(
            method="POST",
            uri=f"{_PATH}/3pid/unbind",
            origin=self.own.name,
            destination=ServerName(id_server),
            content={"mxid": user_id, "threepid": threepid},
        )
        authorization = authorization_header(request, self.own.key)
        try:
            await self._send(
                id_server, "POST", request.uri, authorization, request.content
            )
        except IdentityServerFailed as failure:
            if failure.answered in _NO_UNBIND:
                return False
            raise
        return True

    async def find_user(self, access: Access, address: EmailAddress) -> UserId | None:
        """The user whom *address* is bound to."""
        details = _read(
            await self._ask(access, "GET", "/hash_details", None), _HashDetails
        )
        hashed = _hash_of(address, details.lookup_pepper)
        content = {
            "algorithm": "sha256",
            "pepper": details.lookup_pepper,
            "addresses": [hashed],
        }
        found = _read(await self._ask(access, "POST", "/lookup", content), _Mappings)
        mxid = found.mappings.get(hashed)
        if mxid is None:
            return None
        try:
            return parse_user_id(mxid)
        except InvalidParam as error:
            raise IdentityServerFailed from error

    async def store_invite(
        self, access: Access, invite: Mapping[str, Any]
    ) -> StoredInvite:
        """Have an invitation kept, and mailed, until its address is somebody's."""
        answer = await self._ask(access, "POST", "/store-invite", invite)
        stored = _read(answer, StoredInvite)
        if not _TOKEN.fullmatch(stored.token):
            raise IdentityServerFailed
        if not 1 <= len(stored.public_keys) <= _KEYS_MAX:
            raise IdentityServerFailed
        return stored

    async def _ask(
        self,
        access: Access,
        method: str,
        path: str,
        content: Mapping[str, Any] | None,
    ) -> object:
        if not _ACCESS_TOKEN.fullmatch(access.token):
            raise InvalidParam("id_access_token is not an access token")
        authorization = f"Bearer {access.token}"
        return await self._send(
            access.id_server, method, _PATH + path, authorization, content
        )

    async def _send(
        self,
        id_server: str,
        method: str,
        uri: str,
        authorization: str,
        content: object,
    ) -> object:
        if not self.is_trusted(id_server):
            raise ServerNotTrusted("This server does not trust that identity server.")
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        body = None if content is None else encode_canonical(content)
        request = OutboundRequest(method, uri, headers, body)
        try:
            endpoint = HttpUrl.parse(f"https://{id_server}/").endpoint
            response = await self.web.request(endpoint, request, _LIMITS)
        except OutboundError as error:
            log.info("identity_server_failed", server=id_server, reason=str(error))
            raise IdentityServerFailed from error
        answer = _parsed(response.body)
        if response.status == 200 and answer is not None:
            return answer
        raise _refusal(response.status, answer)


def _parsed(body: bytes) -> object:
    """The JSON of an answer; None if there is none."""
    try:
        return parse_json(body)
    except (NotJson, BadJson):
        return None


def _read(answer: object, kind: type[_Answer]) -> _Answer:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise IdentityServerFailed(200) from error


def _refusal(status: int, answer: object) -> MatrixError:
    error: Mapping[str, object] = answer if isinstance(answer, dict) else {}
    errcode, message = error.get("errcode"), error.get("error")
    if not isinstance(errcode, str) or not _ERRCODE.fullmatch(errcode):
        return IdentityServerFailed(status)
    if status == 401 or errcode in _TOKEN_ERRORS:
        # As it is, clients would take it for the end of their session here.
        return Forbidden("the identity server does not accept the request's token")
    shown = message[:_MESSAGE_CHARS_MAX] if isinstance(message, str) else errcode
    return IdentityServerRefused(
        errcode, shown, status=status if 400 <= status < 500 else 502
    )


def _hash_of(address: EmailAddress, pepper: str) -> str:
    """What an address is looked up by (IS "sha256")."""
    digest = sha256(f"{address} email {pepper}".encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
