"""Who makes a request: the owner of an access token, or another server."""

from collections.abc import Mapping
from typing import Protocol
from urllib.parse import parse_qsl

from msgspec import Struct

from tremula.protocol.errors import UserLocked, UserSuspended
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.x_matrix import XMatrix

_BEARER = "bearer "


class Requester(Struct, frozen=True):
    """The owner of a valid access token, or whom an application service acts as.

    ``device_id`` is absent for application services that act without a device. One that
    ``controls_user`` has "full control" over a user of its namespaces.
    """

    user_id: UserId
    device_id: DeviceId | None
    is_guest: bool
    token_id: int
    is_admin: bool
    appservice_id: str | None = None
    is_locked: bool = False
    is_suspended: bool = False
    is_rate_limited: bool = True
    controls_user: bool = False


class Restrictions(Struct, frozen=True):
    """What locked and suspended accounts may do, operation IDs in snake case.

    The suspended may also make any ``GET`` request.
    """

    locked_may: frozenset[str] = frozenset()
    suspended_may: frozenset[str] = frozenset()

    def check(self, requester: Requester, method: str, operation: str) -> None:
        """Refuse what *requester* may not do, being restricted.

        Raises:
            UserLocked, UserSuspended: see the name.
        """
        if requester.is_locked and operation not in self.locked_may:
            raise UserLocked("this account has been locked")
        if (
            requester.is_suspended
            and method != "GET"
            and operation not in self.suspended_may
        ):
            raise UserSuspended("suspended accounts may not do this")


class RequestingClient(Protocol):
    """What is recorded of the use of a device; a `Request` is one."""

    @property
    def client_ip(self) -> str:
        """The address behind trusted proxies."""
        ...

    @property
    def user_agent(self) -> str:
        """The ``User-Agent`` header, or an empty string."""
        ...


class Authenticator(Protocol):
    """Knows the access tokens; the appservices feature implements it."""

    def recall(self, token: str, client: RequestingClient) -> Requester | None:
        """The owner of a user's *token*, if it is known without asking; else None.

        Raises:
            UnknownToken: it has expired (a soft logout).
        """
        ...

    async def authenticate(
        self, token: str, client: RequestingClient, *, query_string: bytes
    ) -> Requester:
        """The owner of *token*, or whom its owner acts as by the query.

        Raises:
            UnknownToken: no such token, or it has expired (then a soft logout).
            Forbidden, UnknownDevice: its owner may not act as this one.
        """
        ...

    def is_current(self, requester: Requester) -> bool:
        """Whether the token of *requester*, and who that is, are certainly what they
        were: else `authenticate` tells.
        """
        ...


class ServerAuthenticator(Protocol):
    """Knows the keys of other servers; the server_keys feature implements it."""

    def admit(self, authorization: str | None) -> XMatrix:
        """Who claims to make a request, by its ``Authorization`` header.

        Refuses, before the body is read, whom no signature would help.

        Raises:
            Unauthorized: there is no such header, or it names another destination.
            Forbidden: this server does not speak with that one.
        """
        ...

    async def verify(
        self, authorization: XMatrix, *, method: str, uri: str, content: object
    ) -> None:
        """Check the signature of a request; *content* is its JSON body or None.

        Raises:
            Unauthorized: it is wrong, or by no key that is valid now.
        """
        ...


def find_access_token(
    headers: Mapping[bytes, bytes], query_string: bytes
) -> str | None:
    """The token of the ``Authorization`` header, else of ``?access_token=``."""
    authorization = headers.get(b"authorization")
    if authorization is not None:
        value = authorization.decode("latin-1")
        # Schemes are case-insensitive (RFC 9110, 11.1). Another scheme is not ours.
        if value[:7].lower() == _BEARER:
            return value[7:].strip() or None
    # `in` would raise and catch an error first, as each time that it is asked of bytes.
    if query_string.find(b"access_token") >= 0:
        # Deprecated, yet "homeservers MUST support both methods".
        query = dict(parse_qsl(query_string.decode("latin-1")))
        return query.get("access_token")
    return None
