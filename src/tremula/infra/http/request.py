"""A request as handlers see it."""

from typing import Any, TypeVar

import msgspec

from tremula.infra.http.auth import Requester, find_access_token
from tremula.infra.http.body import RequestBody
from tremula.infra.http.exchange import Exchange
from tremula.infra.http.query import Query
from tremula.infra.logging import request_name
from tremula.protocol.errors import BadJson, Forbidden, MissingParam
from tremula.protocol.identifiers import DeviceId, ServerName, UserId
from tremula.protocol.json import parse_json, parse_json_exact

T = TypeVar("T")

_MISSING_FIELD = "Object missing required field "


class Request:
    """A request to an endpoint with ``Auth.NONE``.

    ``path`` holds the decoded parts of the path by their names, ``client_ip`` the
    address behind trusted proxies. The body is in ``raw_body``, or still in ``stream``
    where the endpoint declares no ``max_body``.
    """

    __slots__ = (
        "_exchange",
        "_id",
        "_query",
        "client_ip",
        "path",
        "raw_body",
        "stream",
    )

    stream: RequestBody

    def __init__(
        self,
        exchange: Exchange,
        path: dict[str, str],
        client_ip: str,
        request_id: int | str,
    ) -> None:
        self._exchange = exchange
        self._query: Query | None = None
        self.path = path
        self.client_ip = client_ip
        self._id = request_id
        self.raw_body = b""

    @property
    def id(self) -> str:
        """What the log calls this request."""
        return request_name(self._id)

    @property
    def query_string(self) -> bytes:
        """What follows the question mark, as it came."""
        return self._exchange.query_string

    @property
    def method(self) -> str:
        """The method, in upper case."""
        return self._exchange.method

    @property
    def uri(self) -> str:
        """Path and query string as they came."""
        raw = self._exchange.raw_path
        query = self.query_string
        return (raw + b"?" + query if query else raw).decode("latin-1")

    @property
    def query(self) -> Query:
        """The query parameters, parsed when first asked for."""
        if self._query is None:
            self._query = Query(self.query_string)
        return self._query

    @property
    def user_agent(self) -> str:
        """The ``User-Agent`` header, or an empty string."""
        return self._exchange.headers.get(b"user-agent", b"").decode("latin-1")

    @property
    def access_token(self) -> str | None:
        """The token of the ``Authorization`` header, else of ``?access_token=``."""
        return find_access_token(self._exchange.headers, self.query_string)

    def header(self, name: str) -> str | None:
        """The header *name* (lower case), the last one where it is repeated."""
        value = self._exchange.headers.get(name.encode("ascii"))
        return None if value is None else value.decode("latin-1")

    def body(self, body_type: type[T]) -> T:
        """The JSON body as *body_type*, a ``msgspec.Struct``. No body counts as ``{}``.

        Raises:
            NotJson: the body is not strict JSON.
            MissingParam: a required key is missing.
            BadJson: a value has the wrong type, or a string contains NUL.
        """
        value = self._parsed_body()
        try:
            return msgspec.convert(value, body_type)
        except msgspec.ValidationError as error:
            message = str(error)
            if message.startswith(_MISSING_FIELD):
                key = message.removeprefix(_MISSING_FIELD).replace("`", "'")
                raise MissingParam(f"missing key {key}") from None
            raise BadJson(message.replace("`", "'")) from None

    def json_object(self) -> dict[str, Any]:
        """The JSON body, which must be an object. No body counts as ``{}``.

        Raises:
            NotJson: the body is not strict JSON.
            BadJson: it is not an object, or a string contains NUL.
        """
        value = self._parsed_body()
        if not isinstance(value, dict):
            raise BadJson("the body must be a JSON object")
        return value

    def _parsed_body(self) -> object:
        raw = self.raw_body
        if not raw:
            return {}
        value = parse_json(raw)
        # JSON can only spell NUL as an escape, so nearly no body is searched.
        if raw.find(b"\\u0000") >= 0 and _holds_nul(value):
            raise BadJson("a string contains NUL")
        return value


class OptionalUserRequest(Request):
    """A request to an endpoint with ``Auth.OPTIONAL``; `requester` may be None.

    A subclass, against the rule: a function over any request takes all three.
    """

    __slots__ = ("requester",)

    requester: Requester | None


class UserRequest(Request):
    """A request to an endpoint with ``Auth.USER``, made by `requester`."""

    __slots__ = ("requester",)

    requester: Requester

    @property
    def user_id(self) -> UserId:
        """The user whose access token it is."""
        return self.requester.user_id

    @property
    def device_id(self) -> DeviceId | None:
        """The device of the access token; application services may have none."""
        return self.requester.device_id

    @property
    def is_guest(self) -> bool:
        """Whether the user is a guest."""
        return self.requester.is_guest

    def check_own(self) -> None:
        """Refuse a path whose ``user_id`` is another user.

        Raises:
            Forbidden: it is.
        """
        if self.path["user_id"] != self.user_id:
            raise Forbidden("this belongs to another user")

    def check_admin(self) -> None:
        """Refuse whoever is no server administrator.

        Raises:
            Forbidden: that is so.
        """
        if not self.requester.is_admin:
            raise Forbidden("only administrators may do this")


class FederationRequest(Request):
    """A request to an endpoint with ``Auth.SERVER``, made by the server `origin`.

    ``content`` is the JSON body, None if there is none.
    """

    __slots__ = ("content", "origin")

    content: object
    origin: ServerName

    def _parsed_body(self) -> object:
        return {} if self.content is None else self.content


def parse_federation_body(raw: bytes) -> object:
    """The body of a request from another server, None for an empty one.

    Integers are exact, and strings may contain NUL: one event that this server cannot
    keep must not cost a whole transaction.

    Raises:
        NotJson: it is not strict JSON.
    """
    return parse_json_exact(raw) if raw else None


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or _holds_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(_holds_nul(item) for item in value)
