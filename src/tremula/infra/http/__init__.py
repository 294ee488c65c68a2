"""The HTTP server: endpoints, requests, answers, listeners."""

from tremula.infra.config import Api
from tremula.infra.http.auth import (
    Authenticator,
    Requester,
    RequestingClient,
    Restrictions,
    ServerAuthenticator,
)
from tremula.infra.http.client_address import rate_limit_key
from tremula.infra.http.endpoint import (
    EVENT_BODY_BYTES_MAX,
    Auth,
    endpoint,
    long_poll,
)
from tremula.infra.http.query import Query
from tremula.infra.http.request import (
    FederationRequest,
    OptionalUserRequest,
    Request,
    UserRequest,
)
from tremula.infra.http.response import Json, Response
from tremula.infra.http.router import Router
from tremula.infra.http.upgrade import upgrade
from tremula.infra.http.websocket import Conversation, WebSocket

__all__ = [
    "EVENT_BODY_BYTES_MAX",
    "Api",
    "Auth",
    "Authenticator",
    "Conversation",
    "FederationRequest",
    "Json",
    "OptionalUserRequest",
    "Query",
    "Request",
    "Requester",
    "RequestingClient",
    "Response",
    "Restrictions",
    "Router",
    "ServerAuthenticator",
    "UserRequest",
    "WebSocket",
    "endpoint",
    "long_poll",
    "rate_limit_key",
    "upgrade",
]
