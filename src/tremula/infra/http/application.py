"""The application of a listener: one request, from its head to its answer.

Without its connection, a ``PUT`` with 200 bytes of JSON and two fields in its path
costs 14 µs here, 3 of them for strict JSON (``python -m bench.http_overhead``).
"""

import asyncio
import logging
import re
from collections.abc import Iterator
from itertools import count
from time import perf_counter
from typing import Any, Protocol

import structlog
from msgspec import Struct, field

from tremula.infra.config import Api
from tremula.infra.http.auth import (
    Authenticator,
    Requester,
    Restrictions,
    ServerAuthenticator,
    find_access_token,
)
from tremula.infra.http.body import RequestBody
from tremula.infra.http.client_address import TrustedProxies, rate_limit_key
from tremula.infra.http.cors import PREFLIGHT_HEAD
from tremula.infra.http.endpoint import EVERY_API, ends_with_client, is_long_poll
from tremula.infra.http.errors import HungUpError, error_response
from tremula.infra.http.exchange import Exchange, HttpApp
from tremula.infra.http.request import (
    FederationRequest,
    Request,
    parse_federation_body,
)
from tremula.infra.http.response import Encoded, Json, encode_response
from tremula.infra.http.router import BoundEndpoint, Router, RouteTable
from tremula.infra.http.sending import (
    SWITCHING_PROTOCOLS,
    hold_conversation,
    send,
)
from tremula.infra.logging import request_id
from tremula.infra.metrics import Metrics, Observe
from tremula.infra.ratelimit import Limit, RateLimiter
from tremula.protocol.errors import (
    Forbidden,
    GuestAccessForbidden,
    MissingToken,
    Unknown,
)

log = structlog.get_logger(__name__)

_FOREIGN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class CatchUp(Protocol):
    """Waits until a request can be answered with all that was acknowledged before."""

    async def __call__(self, *, writes: bool) -> None:
        """*writes*: whether the request does.

        Raises:
            Unknown: (503) that is not to be had in time.
        """
        ...


class Application(Struct, frozen=True, kw_only=True):
    """What the listeners of this process have in common.

    ``shutting_down`` is set when the server begins to stop: what waits on behalf of a
    client (a long poll) answers then with what it has. Without ``servers``, no other
    server is let in. Requests of the APIs wait for ``catch_up``.
    """

    router: Router
    authenticator: Authenticator
    limiter: RateLimiter
    metrics: Metrics
    servers: ServerAuthenticator | None = None
    catch_up: CatchUp | None = None
    restrictions: Restrictions = Restrictions()
    shutting_down: asyncio.Event = field(default_factory=asyncio.Event)
    request_numbers: Iterator[int] = field(default_factory=count)

    def for_listener(
        self,
        apis: frozenset[Api] = EVERY_API,
        proxies: TrustedProxies | None = None,
    ) -> HttpApp:
        """The application that serves *apis*, of the endpoints added so far."""
        routes = [self._route(bound) for bound in self.router.bound(apis)]
        return _ListenerApp(self, RouteTable(routes), proxies or TrustedProxies())

    def _route(self, bound: BoundEndpoint) -> "_Route":
        class_name = bound.endpoint.limit
        limit = None if class_name is None else self.limiter.limit(class_name)
        # What operators ask of a process, it answers as it is.
        catch_up = self.catch_up if bound.endpoint.path.startswith("/_") else None
        observers = _Observers(self.metrics, bound.operation)
        return _Route(bound, limit, observers, catch_up)


class _Observers:
    """Count the requests of one operation, by class of status."""

    __slots__ = ("_by_status", "_metrics", "operation")

    def __init__(self, metrics: Metrics, operation: str) -> None:
        self._metrics = metrics
        self.operation = operation
        self._by_status: dict[int, Observe] = {}

    def of(self, status: int) -> Observe:
        """Who counts those answered with *status*."""
        observe = self._by_status.get(status)
        if observe is None:
            observe = self._by_status[status] = self._metrics.request_observer(
                self.operation, f"{status // 100}xx"
            )
        return observe


class _Route:
    """An endpoint with all that answering it needs."""

    __slots__ = (
        "catch_up",
        "endpoint",
        "ends_with_client",
        "function",
        "is_long_poll",
        "limit",
        "max_body",
        "needs_signature",
        "observers",
        "request_type",
        "service",
        "takes_token",
        "writes",
    )

    def __init__(
        self,
        bound: BoundEndpoint,
        limit: Limit | None,
        observers: _Observers,
        catch_up: CatchUp | None,
    ) -> None:
        self.endpoint = bound.endpoint
        self.request_type = bound.endpoint.auth.request_type
        self.takes_token = bound.endpoint.auth.takes_token
        self.needs_signature = bound.endpoint.auth.needs_signature
        self.max_body = bound.endpoint.max_body
        self.writes = bound.endpoint.method != "GET"
        self.function = bound.function
        self.ends_with_client = ends_with_client(bound.endpoint, bound.function)
        self.is_long_poll = is_long_poll(bound.function)
        self.service = bound.service
        self.limit = limit
        self.observers = observers
        self.catch_up = catch_up


class _ListenerApp:
    """Answers the requests of one listener."""

    __slots__ = ("_app", "_logs_access", "_proxies", "_routes", "_unrecognized")

    def __init__(
        self, app: Application, routes: RouteTable[_Route], proxies: TrustedProxies
    ) -> None:
        self._app = app
        self._routes = routes
        self._proxies = proxies
        # Asked once, so that no request pays for a line that nobody reads.
        self._logs_access = logging.getLogger(__name__).isEnabledFor(logging.DEBUG)
        self._unrecognized = _Observers(app.metrics, "unrecognized")

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        if exchange.method == "OPTIONS":
            await exchange.answer(PREFLIGHT_HEAD, b"")
            return
        started = perf_counter()
        body = RequestBody(exchange)
        observers = self._unrecognized
        current_id, client_ip = self._origin_of(exchange)
        request_id.set(current_id)
        try:
            route, path = self._routes.find(exchange.method, exchange.raw_path)
            observers = route.observers
            request = route.request_type(exchange, path, client_ip, current_id)
            encoded = encode_response(
                await self._answer(route, request, body, exchange)
            )
        except HungUpError:
            log.debug("client_hung_up", operation=observers.operation)
            return
        except asyncio.CancelledError:
            if exchange.is_lost and exchange.ends_with_client:
                log.debug("client_hung_up", operation=observers.operation)
                return
            if not self._app.shutting_down.is_set():
                raise
            # `HttpServer.stop` has waited long enough; its client is told.
            encoded = await _refuse(
                Unknown("shutting down", status=503), body, exchange
            )
        except Exception as error:  # noqa: BLE001 - logged by error_response
            encoded = await _refuse(error, body, exchange)
        if type(encoded.body) is bytes and exchange.wire.writable is None:
            exchange.answer_at_once(encoded.head, encoded.body)
        elif not await self._is_sent(encoded, exchange, observers, started):
            return
        seconds = perf_counter() - started
        observers.of(encoded.status)(seconds)
        if self._logs_access:
            _log_access(exchange, observers.operation, encoded.status, seconds)

    async def _is_sent(
        self,
        encoded: Encoded,
        exchange: Exchange,
        observers: _Observers,
        started: float,
    ) -> bool:
        """Send what does not go at once. False if it has been counted, or was lost."""
        if encoded.status == SWITCHING_PROTOCOLS:
            observers.of(encoded.status)(perf_counter() - started)
            await hold_conversation(
                encoded, exchange, is_stopping=self._app.shutting_down.is_set()
            )
            return False
        try:
            await send(encoded, exchange)
        except HungUpError:
            log.debug("client_hung_up", operation=observers.operation)
            return False
        return True

    async def _answer(
        self,
        route: _Route,
        request: Any,  # noqa: ANN401 - of the type that the handler was declared with
        body: RequestBody,
        exchange: Exchange,
    ) -> Json:
        if route.catch_up is not None:
            await route.catch_up(writes=route.writes)
        requester = None
        if route.takes_token:
            requester = self._recall(
                route, exchange, request
            ) or await self._authenticate(route, exchange, request)
            request.requester = requester
        if route.limit is not None and (requester is None or requester.is_rate_limited):
            route.limit.check(
                requester.user_id if requester else rate_limit_key(request.client_ip)
            )
        if route.needs_signature:
            await self._read_signed(request, body, route.max_body or 0)
        elif route.max_body is None:
            request.stream = body
        elif not exchange.is_body_taken:
            request.raw_body = body.read_at_once(route.max_body) or await body.read(
                route.max_body
            )
        if route.ends_with_client:
            if exchange.is_lost:
                raise HungUpError
            # What writes must not stop half-way because its client has gone.
            exchange.ends_with_client = True
        answer = await route.function(request, route.service)
        exchange.ends_with_client = False
        if (
            requester is not None
            and route.is_long_poll
            and not self._app.authenticator.is_current(requester)
        ):
            await self._authenticate(route, exchange, request)
        return answer

    def _recall(
        self, route: _Route, exchange: Exchange, request: Request
    ) -> Requester | None:
        """What `_authenticate` would say, if that is known: as good as always."""
        token = find_access_token(exchange.headers, exchange.query_string)
        if token is None:
            return None
        requester = self._app.authenticator.recall(token, request)
        if requester is not None:
            self._check(route, requester)
        return requester

    async def _authenticate(
        self, route: _Route, exchange: Exchange, request: Request
    ) -> Requester | None:
        token = find_access_token(exchange.headers, exchange.query_string)
        if token is None:
            if route.endpoint.auth.needs_token:
                raise MissingToken("an access token is needed")
            return None
        requester = await self._app.authenticator.authenticate(
            token, request, query_string=exchange.query_string
        )
        self._check(route, requester)
        return requester

    def _check(self, route: _Route, requester: Requester) -> None:
        if requester.is_guest and not route.endpoint.guest:
            raise GuestAccessForbidden("guests may not do this")
        if requester.is_locked or requester.is_suspended:
            self._app.restrictions.check(
                requester, route.endpoint.method, route.observers.operation
            )

    async def _read_signed(
        self, request: FederationRequest, body: RequestBody, bytes_max: int
    ) -> None:
        servers = self._app.servers
        if servers is None:
            raise Forbidden("this server does not federate")
        authorization = servers.admit(request.header("authorization"))
        request.raw_body = await body.read(bytes_max)
        request.content = parse_federation_body(request.raw_body)
        await servers.verify(
            authorization,
            method=request.method,
            uri=request.uri,
            content=request.content,
        )
        request.origin = authorization.origin

    def _origin_of(self, exchange: Exchange) -> tuple[int | str, str]:
        """What to call a request, and its client's address: as proxies tell, or not."""
        peer = exchange.wire.peer
        number = next(self._app.request_numbers)
        if not self._proxies.trusts(peer):
            return number, peer
        headers = exchange.headers
        given = headers.get(b"x-request-id")
        client_ip = self._proxies.client_ip(peer, headers)
        if given is None or not _FOREIGN_ID.fullmatch(given):
            return number, client_ip
        return given.decode("ascii"), client_ip


async def _refuse(error: Exception, body: RequestBody, exchange: Exchange) -> Encoded:
    encoded = encode_response(error_response(error))
    await body.discard()
    if not body.is_finished:
        exchange.keeps_alive = False
    return encoded


def _log_access(
    exchange: Exchange, operation: str, status: int, seconds: float
) -> None:
    # Without the query string, which may hold an access token.
    log.debug(
        "http_request",
        method=exchange.method,
        path=exchange.raw_path.decode("latin-1"),
        operation=operation,
        status=status,
        duration_ms=round(seconds * 1000, 3),
    )
