"""Paths and query strings that no client of good will sends: an error, never a 500."""

from urllib.parse import quote

import orjson
import pytest

from tests.conformance.attacker import Attacker
from tests.conformance.bad_values import PATH_PARTS, QUERY_VALUES
from tests.conformance.openapi import needs_spec, query_parameters
from tests.conformance.operations import Operation, done_operations

pytestmark = [pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize(
    "operation",
    [each for each in done_operations() if "{" in each.path],
    ids=lambda operation: operation.operation_id,
)
async def test_a_bad_part_of_a_path_does_no_harm(
    attacker: Attacker, operation: Operation
) -> None:
    names = [part[1:-1] for part in operation.path.split("/") if part[:1] == "{"]
    cases = [(name, part) for name in names for part in PATH_PARTS]
    for name, part in attacker.sample(operation, cases):
        world = attacker.world
        path = world.path(operation, **{name: part})
        body = orjson.dumps(world.body(operation))
        await attacker.send(operation, path, body, name)


@needs_spec
@pytest.mark.parametrize(
    "operation", done_operations(), ids=lambda operation: operation.operation_id
)
async def test_a_bad_value_of_a_query_parameter_does_no_harm(
    attacker: Attacker, operation: Operation
) -> None:
    names = query_parameters(operation)
    cases = [(name, value) for name in names for value in QUERY_VALUES]
    for name, value in attacker.sample(operation, cases):
        world = attacker.world
        others = [
            f"{key}={quote(good)}"
            for key, good in world.query(operation).items()
            if key != name
        ]
        encoded = value if value[:1] in {"%", "+"} else quote(value)
        query = "&".join([f"{name}={encoded}", *others])
        path = f"{world.path(operation)}?{query}"
        body = orjson.dumps(world.body(operation))
        await attacker.send(operation, path, body, name)


@pytest.mark.parametrize("value", QUERY_VALUES)
async def test_a_bad_access_token_is_unknown(attacker: Attacker, value: str) -> None:
    encoded = value if value[:1] in {"%", "+"} else quote(value)
    response = await attacker.server.anonymous.get(
        f"/v3/account/whoami?access_token={encoded}"
    )

    assert response.status == 401
    assert response.json["errcode"] in {"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"}
