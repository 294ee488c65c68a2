"""``@endpoint``: what a handler answers, and to whom."""

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Generic, TypeVar

from msgspec import Struct

from tremula.infra.config import Api
from tremula.infra.http.request import (
    FederationRequest,
    OptionalUserRequest,
    Request,
    UserRequest,
)
from tremula.infra.http.response import Json

R = TypeVar("R", bound=Request)
S = TypeVar("S")
J = TypeVar("J", bound=Json)

BODY_BYTES_MAX = 65_536
# Room for 64 KiB of canonical JSON, in which a client may escape every character.
EVENT_BODY_BYTES_MAX = 6 * 65_536
EVERY_API = frozenset(Api)

_ATTRIBUTE = "__endpoints__"
_LONG_POLL = "__long_poll__"


class Auth(Struct, Generic[R], frozen=True):
    """How an endpoint authenticates, and the type of request its handler gets."""

    request_type: type[R]
    needs_token: bool
    takes_token: bool
    needs_signature: bool = False

    NONE: ClassVar["Auth[Request]"]
    OPTIONAL: ClassVar["Auth[OptionalUserRequest]"]
    USER: ClassVar["Auth[UserRequest]"]
    SERVER: ClassVar["Auth[FederationRequest]"]


Auth.NONE = Auth(Request, needs_token=False, takes_token=False)
Auth.OPTIONAL = Auth(OptionalUserRequest, needs_token=False, takes_token=True)
Auth.USER = Auth(UserRequest, needs_token=True, takes_token=True)
Auth.SERVER = Auth(
    FederationRequest, needs_token=False, takes_token=False, needs_signature=True
)


class Endpoint(Struct, frozen=True):
    """One method and path of a handler.

    ``limit`` names its class of rate limits; None is unlimited. ``max_body`` is in
    bytes; None leaves the body to the handler. Guests are refused unless ``guest``.
    """

    method: str
    path: str
    auth: Auth[Any]
    limit: str | None
    guest: bool
    max_body: int | None
    apis: frozenset[Api]


def endpoint(
    method: str,
    path: str,
    *,
    auth: Auth[R],
    limit: str | None = None,
    guest: bool = False,
    max_body: int | None = BODY_BYTES_MAX,
    api: Api | frozenset[Api] = Api.CLIENT,
) -> Callable[[Callable[[R, S], Awaitable[J]]], Callable[[R, S], Awaitable[J]]]:
    """Declare that a function answers *method* on *path*.

    A part of *path* in braces matches any one non-empty part. A slash at the end of a
    request's path is ignored, so ``…/state/{event_type}`` also answers the form with
    an empty state key. A hung-up client cancels the handler of a ``GET``; others run
    to their end, so that what was accepted is not done by halves, but a `long_poll`.
    With ``max_body`` None, the handler reads ``req.stream`` itself, within a bound of
    its own.

    Repeat the decorator for more paths. `Router.add` binds the function.
    """
    apis = frozenset({api}) if isinstance(api, Api) else api
    declared = Endpoint(method, path, auth, limit, guest, max_body, apis)

    def declare(
        function: Callable[[R, S], Awaitable[J]],
    ) -> Callable[[R, S], Awaitable[J]]:
        vars(function).setdefault(_ATTRIBUTE, []).append(declared)
        return function

    return declare


def long_poll(
    function: Callable[[R, S], Awaitable[J]],
) -> Callable[[R, S], Awaitable[J]]:
    """Declare that a handler waits, for nobody once its client has hung up; and that it
    may then be cancelled, whatever its method. If meanwhile the token is revoked or the
    account locked, that is the answer.
    """
    vars(function)[_LONG_POLL] = True
    return function


def ends_with_client(declared: Endpoint, function: object) -> bool:
    """Whether a hung-up client cancels the handler."""
    return declared.method == "GET" or is_long_poll(function)


def is_long_poll(function: object) -> bool:
    """Whether *function* was declared to be a `long_poll`."""
    return hasattr(function, _LONG_POLL)


def endpoints_of(value: object) -> list[Endpoint]:
    """What `endpoint` declared of *value*; nothing for anything but a handler."""
    found: list[Endpoint] = getattr(value, _ATTRIBUTE, [])
    return found
