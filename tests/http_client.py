"""A client that speaks to an application in-process, without sockets.

With ``MATRIX_SPEC`` set it checks every answer against the specification's schemas
(``tools/check_response.py`` there): a violation, or a key the specification lacks,
fails the test.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypedDict, Unpack, cast
from urllib.parse import urlencode

import orjson

from tests.fakes.wire import FakeWire
from tremula.infra.http.exchange import Exchange, HttpApp

QueryValue = str | int | Sequence[str]

_CLIENT_API = "/_matrix/client"
_VERSIONED = re.compile(r"/(?:v[0-9]+|r0|unstable)/")
_VENDOR_PREFIXED = re.compile(
    r"/(?:org|io|com|dev|net|de|im|uk)\.[A-Za-z0-9_.-]+(?:/|$)"
)

# What the schemas leave out, but not the text of the specification: the `sender` of
# presence is in every example; RV11 wants `redacts` "at the top level"; "Extensions to
# /sync" has the types of fallback keys, "Key algorithms" `fallback`.
# "Aggregations of child events" are in no schema of `unsigned`.
# `delay_id` comes from MSC4140, which was accepted after the release, and push rules of
# the kind `postcontent` from MSC4306. By `prev_sender` clients know direct chats.
# Of PDUs the schemas "may be missing other required fields".
_UNLISTED = re.compile(
    r"/presence/events/[0-9]+/sender|.*/redacts|.*/unsigned/(?:delay_id|prev_sender)"
    r"|.*/unsigned/m\.relations|(?:/.+)?/postcontent|/device_unused_fallback_key_types|/one_time_keys/.*/fallback"
    r"|(?:/1)?/(?:event|(?:state|auth_chain|knock_room_state)/[0-9]+)"
    r"/(?:auth_events|content|depth|event_id|hashes|origin|prev_events|room_id"
    r"|signatures|unsigned)(?:/.*)?"
)
# The formats of events, "depending on the room version", have had no `origin` for long.
_NO_ORIGIN = re.compile(r'/event: "origin" is a required property\Z')


# An event satisfies both forms of getRoomStateWithKey, of which the schema wants
# exactly one; those of the federation format have no `event_id`.
# Delayed events (MSC4140) have no event ID yet.
_OUTSIDE_SCHEMA = (
    "format=event",
    "event_format%22%3A%22federation%22",
    "org.matrix.msc4140.delay=",
)
# Its answer is a pair, of which the schema lets each half be either form.
_PAIRED = "/_matrix/federation/v1/invite/"


# What HTTP answers to conditions and ranges, of which the specification is silent.
_OF_HTTP = frozenset({206, 304, 416})
# What application services without a valid token are told, "the same behavior as
# invalid auth", of which the schema of `register` knows nothing.
_WITHOUT_FLOWS = re.compile(b'"an as_token is needed|application service.s token"')


class Options(TypedDict, total=False):
    """What any request may have besides a JSON body."""

    query: Mapping[str, QueryValue]
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer. ``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - tests read what they know is there
        """The body, parsed."""
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True)
class Client:
    """Makes requests with one access token, or none.

    A path such as ``/v3/sync`` is one of the client-server API.
    """

    app: HttpApp
    token: str | None = None
    client_ip: str = "127.0.0.1"

    async def get(self, path: str, **options: Unpack[Options]) -> HttpResponse:
        return await self.request("GET", path, **options)

    async def post(
        self, path: str, json: object = None, **options: Unpack[Options]
    ) -> HttpResponse:
        return await self.request("POST", path, json=json, **options)

    async def put(
        self, path: str, json: object = None, **options: Unpack[Options]
    ) -> HttpResponse:
        return await self.request("PUT", path, json=json, **options)

    async def delete(
        self, path: str, json: object = None, **options: Unpack[Options]
    ) -> HttpResponse:
        return await self.request("DELETE", path, json=json, **options)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        **options: Unpack[Options],
    ) -> HttpResponse:
        """Send a request whose body is *json*, encoded, or *body*, as it is."""
        if _VERSIONED.match(path):
            path = _CLIENT_API + path
        path, _, query_string = path.partition("?")
        if "query" in options:
            query_string = urlencode(options["query"], doseq=True)
        body = options.get("body", b"" if json is None else orjson.dumps(json))
        headers = {"content-length": str(len(body)), **options.get("headers", {})}
        wire = FakeWire(self.client_ip)
        target = (path.encode(), query_string.encode())
        exchange = Exchange(wire, method, target, self._headers(headers))
        exchange.take(body)
        exchange.end_body()
        await self.app(exchange)
        response = _parsed(b"".join(wire.pieces))
        if not any(mark in query_string for mark in _OUTSIDE_SCHEMA):
            _check_against_spec(method, path, response)
        return response

    def _headers(self, headers: Mapping[str, str]) -> dict[bytes, bytes]:
        sent = {"host": "test", "user-agent": "tests"}
        if self.token is not None:
            sent["authorization"] = f"Bearer {self.token}"
        sent |= {name.lower(): value for name, value in headers.items()}
        return {n.encode(): v.encode("latin-1") for n, v in sent.items()}


def _parsed(answer: bytes) -> HttpResponse:
    head, _, body = answer.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return HttpResponse(int(status_line.split(" ")[1]), headers, body)


def spec_header() -> str:
    """What the header of a test run says about the check against the schemas."""
    if _spec() is None:
        return "specification: MATRIX_SPEC is not set, answers are NOT checked"
    return f"specification: answers are checked against {os.environ['MATRIX_SPEC']}"


class _Report(Protocol):
    errors: Sequence[object]
    unknown: Sequence[str]


class _Spec(Protocol):
    def find(self, method: str, path: str) -> tuple[object, object]: ...

    def check_response(
        self, method: str, path: str, status: int, body: object
    ) -> _Report: ...


@cache
def _spec() -> _Spec | None:
    root = os.environ.get("MATRIX_SPEC")
    if not root:
        return None
    sys.path.append(str(Path(root) / "tools"))
    return cast("_Spec", import_module("check_response").Spec(root))


def _check_against_spec(method: str, path: str, response: HttpResponse) -> None:
    spec = _spec()
    if spec is None or method not in {"GET", "PUT", "POST", "DELETE"}:
        return
    if spec.find(method, path)[0] is None or path.startswith(_PAIRED):
        return
    if response.status in _OF_HTTP:
        return
    if response.status == 401 and _WITHOUT_FLOWS.search(response.body):
        return
    body = response.json if _is_json(response) else None
    report = spec.check_response(method, path, response.status, body)
    unknown = [
        key
        for key in report.unknown
        if not _VENDOR_PREFIXED.search(key) and not _UNLISTED.fullmatch(key)
    ]
    wrong = [each for each in report.errors if not _NO_ORIGIN.search(str(each))]
    assert not wrong, f"{report}\n{response.body[:2000]!r}"
    assert not unknown, f"{report}\n{response.body[:2000]!r}"


def _is_json(response: HttpResponse) -> bool:
    return response.headers.get("content-type") == "application/json"
