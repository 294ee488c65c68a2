"""Bodies made from the specification's schemas, each wrong in one place.

The answer is an error of the specification, and nothing is stored.
"""

from typing import Final

import orjson
import pytest

from tests.conformance.attacker import Attacker, places_in, with_value, without
from tests.conformance.bad_values import NO_OBJECTS, VALUES, BadValue
from tests.conformance.openapi import (
    Place,
    body_fields,
    needs_spec,
    operations_with_body,
)
from tests.conformance.operations import Operation

pytestmark = [pytest.mark.asyncio(loop_scope="module"), needs_spec]

EVERY_OPERATION: Final = pytest.mark.parametrize(
    "operation",
    operations_with_body(),
    ids=lambda operation: operation.operation_id,
)
# What they are given becomes an event, except for what has a type of its own.
SENDING: Final = {"createRoom", "sendMessage", "setRoomStateWithKey"}
# Not read beside the keys of the good request: of another kind of identifier for
# `login`, of an invitation by e-mail, which is another operation.
IGNORED: Final = {
    *(("login", key) for key in ("address", "medium", "token", "user")),
    *(("inviteUser", key) for key in ("address", "id_access_token", "id_server")),
    ("inviteUser", "medium"),
    # Of another kind of condition.
    *(("setPushRule", key) for key in ("is", "value")),
}


@EVERY_OPERATION
async def test_a_body_that_is_no_object_is_refused(
    attacker: Attacker, operation: Operation
) -> None:
    for raw in NO_OBJECTS:
        path = attacker.world.path(operation)
        response = await attacker.send(operation, path, raw, "no object")
        assert response.status in {400, 413}, (raw[:30], response.body)


@EVERY_OPERATION
async def test_a_field_of_a_wrong_type_is_refused(
    attacker: Attacker, operation: Operation
) -> None:
    """But for null, which many clients send for what they leave out.

    So are, in what becomes an event, floats and integers past 2^53.
    """
    fields = {field.place: field.types for field in body_fields(operation)}
    for place in places_in(attacker.world.body(operation)):
        fields.setdefault(place, frozenset())
    cases = [(place, value) for place in fields for value in VALUES]
    for place, value in attacker.sample(operation, cases):
        body = with_value(attacker.world.body(operation), place, value.raw)
        path = attacker.world.path(operation)
        response = await attacker.send(operation, path, body, (place, value.name))
        if is_wrong(operation, place, value, fields[place]):
            assert response.status >= 400, (place, value.name, response.body)


def is_wrong(
    operation: Operation, place: Place, value: BadValue, types: frozenset[str]
) -> bool:
    """Whether *value* must be refused at *place*, where *types* may stand."""
    if value.json_type == "invalid":
        return True
    if operation.operation_id in SENDING and not value.canonical:
        return True
    names = {(operation.operation_id, name) for name in (place[0], place[-1])}
    if value.json_type == "null" or not IGNORED.isdisjoint(names):
        return False
    return not value.fits(types)


@EVERY_OPERATION
async def test_a_missing_field_is_refused(
    attacker: Attacker, operation: Operation
) -> None:
    for field in body_fields(operation):
        if not field.required:
            continue
        body = without(attacker.world.body(operation), field.place)
        path = attacker.world.path(operation)
        response = await attacker.send(operation, path, body, field.place)
        if len(field.place) == 1 and (operation.operation_id, field.place[0]) not in (
            IGNORED
        ):
            assert response.status in {400, 401}, (field, response.body)


@EVERY_OPERATION
async def test_a_key_that_occurs_twice_is_refused(
    attacker: Attacker, operation: Operation
) -> None:
    """Two programs may each see another one of the values."""
    good = orjson.dumps(attacker.world.body(operation) | {"org.example.key": 1})
    body = good[:-1] + b',"org.example.key":1}'

    path = attacker.world.path(operation)
    response = await attacker.send(operation, path, body, "twice")

    assert (response.status, response.json["errcode"]) == (400, "M_NOT_JSON")
