"""Sends bad requests, and knows what must never come of one."""

import copy
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from inspect import isclass
from itertools import pairwise
from typing import Any, Final, TypeVar

import orjson

from tests.conformance.openapi import Place
from tests.conformance.operations import Operation
from tests.conformance.world import World, make_world
from tests.conformance.write_watch import stored_here
from tests.http_client import HttpResponse
from tests.server import Server
from tremula.infra.db import Engine
from tremula.protocol import errors
from tremula.protocol.errors import MatrixError

T = TypeVar("T")

# After their success the next request would be about something else.
_SPENDING: Final = {
    *("changePassword", "deactivateAccount", "deleteDevice", "deleteRoomAlias"),
    *("joinRoom", "joinRoomById", "kick", "knockRoom", "leaveRoom", "logout"),
    *("logout_all", "unban", "upgradeRoom"),
}
_SAMPLE_ON_POSTGRES: Final = 15
ERROR_CODES: Final = {
    value.errcode
    for value in vars(errors).values()
    if isclass(value) and issubclass(value, MatrixError)
}
_HOLE: Final = "\N{OBJECT REPLACEMENT CHARACTER}"


@dataclass(slots=True)
class Attacker:
    """Sends bad requests, in a world that is made anew when it is spent."""

    server: Server
    world: World

    async def send(
        self, operation: Operation, path: str, body: bytes, note: object
    ) -> HttpResponse:
        """Send a request: it must not fail, nor store anything if it is refused."""
        client = self.world.actor(operation)
        with stored_here() as stored:
            response = await client.request(operation.method, path, body=body)
        note = (operation.operation_id, path[:200], body[:200], note, response.body)
        check_refusal(response, note)
        if response.status >= 400:
            # A refusal may open a session of UIA, which is how it can be mended.
            assert all("uia_sessions" in sql for sql in stored), (note, stored)
        if response.status < 300 and operation.operation_id in _SPENDING:
            self.world = await make_world(self.server)
        return response

    def sample(self, operation: Operation, cases: Iterable[T]) -> Sequence[T]:
        """All on SQLite; on PostgreSQL, where each takes longer, a few, the same ones.

        What differs between the two is only what reaches the database.
        """
        cases = list(cases)
        engine = self.server.db.engine
        if engine is Engine.SQLITE or len(cases) <= _SAMPLE_ON_POSTGRES:
            return cases
        chosen = random.Random(operation.operation_id)  # noqa: S311 - no secret
        return chosen.sample(cases, _SAMPLE_ON_POSTGRES)


def check_refusal(response: HttpResponse, note: object) -> None:
    """No failure of the server; and if it refuses, then in the specification's form.

    502 is the failure of another server, which was asked on the client's behalf.
    """
    assert response.status < 500 or response.status == 502, note
    if response.status < 300:
        return
    error = response.json
    if response.status == 401 and "flows" in error:
        return
    assert error["errcode"] in ERROR_CODES, note
    assert isinstance(error["error"], str), note


def with_value(body: dict[str, Any], place: Place, raw: bytes) -> bytes:
    """The JSON of *body* with *raw* at *place*, and what it takes to get there."""
    changed = copy.deepcopy(body)
    node: Any = changed
    for here, following in pairwise(place):
        node = _child(node, here, [] if following == 0 else {})
    _put(node, place[-1], _HOLE)
    return orjson.dumps(changed).replace(orjson.dumps(_HOLE), raw)


def without(body: dict[str, Any], place: Place) -> bytes:
    """The JSON of *body* without the key at *place*, if it is there."""
    changed = copy.deepcopy(body)
    node: Any = changed
    for key in place[:-1]:
        node = node.get(key, {}) if isinstance(node, dict) else {}
    if isinstance(node, dict):
        node.pop(place[-1], None)
    return orjson.dumps(changed)


def places_in(value: object, place: Place = ()) -> Iterable[Place]:
    """Every place of a body where a value stands; of a list the first."""
    if place:
        yield place
    if isinstance(value, dict):
        for key, child in value.items():
            yield from places_in(child, (*place, key))
    elif isinstance(value, list) and value:
        yield from places_in(value[0], (*place, 0))


def _child(node: Any, key: str | int, empty: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(node, dict) and isinstance(node.get(str(key)), type(empty)):
        return node[str(key)]
    if isinstance(node, list) and node and isinstance(node[0], type(empty)):
        return node[0]
    _put(node, key, empty)
    return empty


def _put(node: Any, key: str | int, value: object) -> None:  # noqa: ANN401 - JSON
    if isinstance(node, list):
        node[:] = [value]
    else:
        node[key] = value
