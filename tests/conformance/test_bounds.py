"""Texts, events and bodies that are just short enough, and one byte longer."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Final
from urllib.parse import quote

import orjson
import pytest

from tests.conformance.attacker import Attacker
from tests.conformance.openapi import needs_spec, operations_with_body
from tests.conformance.operations import Operation, route
from tests.conformance.world import World
from tests.conformance.write_watch import stored_here
from tests.http_client import HttpResponse
from tremula.protocol.canonical import encode_canonical
from tremula.protocol.event_format import PDU_BYTES_MAX
from tremula.protocol.room_versions import DEFAULT_ROOM_VERSION, get_room_version
from tremula.rooms.staging import OwnServer
from tremula.rooms.wire import signed_pdu

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

_numbers = count(1)

Body = dict[str, Any]


Request = tuple[str, str, Body]
"""Method, path and body."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A text that a client chooses, how long it may be, and what refuses more."""

    name: str
    length_max: int
    errcode: str
    request: Callable[[World, str], Request]
    in_bytes: bool = True

    def length(self, text: str) -> int:
        """The length of *text* in the unit of the bound."""
        return len(text.encode()) if self.in_bytes else len(text)

    def longest(self, char: str) -> str:
        """As many of *char* as fit, and what is left filled up."""
        text = char * (self.length_max // self.length(char))
        return text + "x" * (self.length_max - self.length(text))


def put(path: str, field: str = "", **body: object) -> Callable[[World, str], Request]:
    """A request with the text at ``{text}`` in the path, or in a *field* of a body."""

    def request(world: World, text: str) -> Request:
        filled = path.format(
            room=quote(world.room_id),
            user=quote(world.user_id),
            device=world.device_id,
            txn=f"b{next(_numbers)}",
            text=quote(text, safe=""),
        )
        return "PUT", filled, ({field: text} if field else {}) | body

    return request


def create_room(make_body: Callable[[str], Body]) -> Callable[[World, str], Request]:
    """A request for a room with the text somewhere in it."""
    return lambda _world, text: ("POST", "/v3/createRoom", make_body(text))


def set_alias(world: World, text: str) -> Request:
    """A request for an alias with the text as its localpart."""
    alias = quote(f"#{text}:test", safe="")
    return "PUT", f"/v3/directory/room/{alias}", {"room_id": world.room_id}


def log_in(field: str) -> Callable[[World, str], Request]:
    """A login with the text in a *field* of its body."""
    return lambda world, text: (
        "POST",
        "/v3/login",
        world.password_auth | {field: text},
    )


_ALIAS_LOCALPART_BYTES_MAX: Final = 255 - len("#:test")
BOUNDS: Final = (
    Bound("event type", 255, "M_TOO_LARGE", put("/v3/rooms/{room}/send/{text}/{txn}")),
    Bound(
        "transaction ID",
        255,
        "M_INVALID_PARAM",
        put("/v3/rooms/{room}/send/m.x/{text}"),
    ),
    Bound("state type", 255, "M_TOO_LARGE", put("/v3/rooms/{room}/state/{text}")),
    Bound("state key", 255, "M_TOO_LARGE", put("/v3/rooms/{room}/state/m.x/{text}")),
    Bound(
        "initial state key",
        255,
        "M_TOO_LARGE",
        create_room(
            lambda text: {
                "initial_state": [{"type": "m.x", "state_key": text, "content": {}}]
            }
        ),
    ),
    Bound("alias", _ALIAS_LOCALPART_BYTES_MAX, "M_INVALID_PARAM", set_alias),
    Bound(
        "alias of a new room",
        _ALIAS_LOCALPART_BYTES_MAX - len("new"),
        "M_INVALID_PARAM",
        create_room(lambda text: {"room_alias_name": f"new{text}"}),
    ),
    Bound(
        "type of account data",
        255,
        "M_INVALID_PARAM",
        put("/v3/user/{user}/account_data/{text}"),
    ),
    Bound(
        "type of account data of a room",
        255,
        "M_INVALID_PARAM",
        put("/v3/user/{user}/rooms/{room}/account_data/{text}"),
    ),
    Bound(
        "tag", 255, "M_INVALID_PARAM", put("/v3/user/{user}/rooms/{room}/tags/{text}")
    ),
    Bound(
        "displayname",
        256,
        "M_INVALID_PARAM",
        put("/v3/profile/{user}/displayname", "displayname"),
        in_bytes=False,
    ),
    Bound(
        "avatar",
        1024,
        "M_INVALID_PARAM",
        put("/v3/profile/{user}/avatar_url", "avatar_url"),
    ),
    Bound(
        "status message",
        1024,
        "M_INVALID_PARAM",
        put("/v3/presence/{user}/status", "status_msg", presence="online"),
    ),
    Bound(
        "name of a device",
        100,
        "M_INVALID_PARAM",
        put("/v3/devices/{device}", "display_name"),
        in_bytes=False,
    ),
    Bound(
        "name of a new device",
        100,
        "M_INVALID_PARAM",
        log_in("initial_device_display_name"),
        in_bytes=False,
    ),
    Bound(
        "ID of a new device",
        255,
        "M_INVALID_PARAM",
        log_in("device_id"),
        in_bytes=False,
    ),
)


@pytest.mark.parametrize("char", ["x", "é", "日", "\N{PILE OF POO}"])
@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: bound.name)
async def test_a_text_has_a_bound(attacker: Attacker, bound: Bound, char: str) -> None:
    """CVE-2021-21393, CVE-2021-21394. The specification counts bytes of UTF-8."""
    text = bound.longest(char)

    longest = await send(attacker, *bound.request(attacker.world, text))
    with stored_here() as stored:
        longer = await send(attacker, *bound.request(attacker.world, text + "x"))

    assert longest.status == 200, longest.body
    assert longer.status in {400, 413}
    assert longer.json["errcode"] == bound.errcode
    assert stored == []


@pytest.mark.parametrize(
    ("spelling", "size"),
    [
        (b"x", 1),
        ("é".encode(), 2),
        (b"\\n", 2),
        (b"\\u0078", 1),
        (b"\\u65e5", 3),
        (b"\\ud83d\\udca9", 4),
        (b"\\u000b", 6),
    ],
)
@pytest.mark.parametrize(
    "path", ["/v3/rooms/{room}/send/m.x/{txn}", "/v3/rooms/{room}/state/m.x/"]
)
async def test_an_event_has_at_most_65536_bytes(
    attacker: Attacker, path: str, spelling: bytes, size: int
) -> None:
    """As canonical JSON, however the client spells it: *size* bytes a character."""

    async def send_text(raw: bytes) -> HttpResponse:
        method, filled, _ = put(path)(attacker.world, "")
        return await attacker.world.alice.request(
            method, filled, body=b'{"a":"%b"}' % raw
        )

    first = await send_text(b"x")
    room_bytes = PDU_BYTES_MAX - await pdu_size(attacker, first.json["event_id"]) + 1
    largest = spelling * (room_bytes // size) + b"x" * (room_bytes % size)

    sent = await send_text(largest)
    with stored_here() as stored:
        refused = await send_text(largest + b"x")

    assert sent.status == 200, sent.body
    assert await pdu_size(attacker, sent.json["event_id"]) == PDU_BYTES_MAX
    assert (refused.status, refused.json["errcode"]) == (413, "M_TOO_LARGE")
    assert stored == []


@needs_spec
@pytest.mark.parametrize(
    "operation",
    operations_with_body(),
    ids=lambda operation: operation.operation_id,
)
async def test_the_bound_of_a_body_is_exact(
    attacker: Attacker, operation: Operation
) -> None:
    [bytes_max] = {
        bound.endpoint.max_body
        for bound in attacker.server.app.application.router.bound()
        if route(bound.endpoint.method, bound.endpoint.path) == operation.route
    }
    assert bytes_max is not None

    async def send_padded(length: int) -> HttpResponse:
        body = orjson.dumps(attacker.world.body(operation))
        path = attacker.world.path(operation)
        return await attacker.send(operation, path, body.ljust(length), length)

    largest = await send_padded(bytes_max)
    larger = await send_padded(bytes_max + 1)

    assert largest.status != 413
    assert (larger.status, larger.json["errcode"]) == (413, "M_TOO_LARGE")


async def send(attacker: Attacker, method: str, path: str, body: Body) -> HttpResponse:
    """Make a request as Alice."""
    return await attacker.world.alice.request(method, path, json=body)


async def pdu_size(attacker: Attacker, event_id: str) -> int:
    """The bytes of an event as other servers would get it."""
    row = await attacker.server.db.first(
        "SELECT client_json, server_json FROM rooms_events WHERE event_id = :event_id",
        event_id=event_id,
    )
    assert row
    client_json, server_json = row
    version = get_room_version(DEFAULT_ROOM_VERSION)
    [app, *_] = attacker.server.apps
    own = OwnServer(app.config.server_name, app.own_keys.current)
    pdu = signed_pdu(version, client_json, server_json, own)
    return len(encode_canonical(pdu))
