"""CS defineFilter and getFilter, over HTTP, and reading ``?filter=``."""

import orjson
import pytest

from tests.features.user_data import ALICE, BOB, UserDataServer
from tremula.features.filters.service import (
    DEFINITION_BYTES_MAX,
    FILTERS_MAX,
    parse_room_event_filter,
)
from tremula.protocol.errors import (
    BadJson,
    InvalidParam,
    MatrixError,
    NotJson,
    TooLarge,
)


async def test_a_filter_is_kept_and_an_equal_one_keeps_its_id(
    user_data: UserDataServer,
) -> None:
    alice = user_data.client(ALICE)
    definition = {"room": {"timeline": {"limit": 5}}, "event_format": "client"}

    first = await alice.post(f"/v3/user/{ALICE}/filter", definition)
    second = await alice.post(
        f"/v3/user/{ALICE}/filter", dict(reversed(definition.items()))
    )

    assert first.status == 200
    filter_id = first.json["filter_id"]
    assert second.json["filter_id"] == filter_id
    assert not filter_id.startswith("{")
    stored = await alice.get(f"/v3/user/{ALICE}/filter/{filter_id}")
    assert stored.json == definition
    for _ in range(2):
        resolved = await user_data.filters.resolve(ALICE, filter_id)
        assert resolved.room.timeline.limit == 5


async def test_a_filter_may_be_given_inline(user_data: UserDataServer) -> None:
    resolved = await user_data.filters.resolve(ALICE, '{"event_format":"federation"}')

    assert resolved.event_format == "federation"
    assert parse_room_event_filter('{"limit":7}').limit == 7


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        ("unknown", InvalidParam),
        ("{", NotJson),
        ('{"room":[]}', BadJson),
        ('{"a":"' + "x" * DEFINITION_BYTES_MAX + '"}', TooLarge),
    ],
)
async def test_what_is_no_filter_is_refused(
    user_data: UserDataServer, raw: str, error: type[MatrixError]
) -> None:
    with pytest.raises(error):
        await user_data.filters.resolve(ALICE, raw)


async def test_a_malformed_filter_is_not_kept(user_data: UserDataServer) -> None:
    response = await user_data.client(ALICE).post(
        f"/v3/user/{ALICE}/filter", {"room": {"timeline": {"limit": -1}}}
    )

    assert (response.status, response.json["errcode"]) == (400, "M_BAD_JSON")


async def test_a_filter_has_a_size(user_data: UserDataServer) -> None:
    response = await user_data.client(ALICE).post(
        f"/v3/user/{ALICE}/filter", {"x": "x" * DEFINITION_BYTES_MAX}
    )

    assert (response.status, response.json["errcode"]) == (413, "M_TOO_LARGE")


async def test_filters_are_their_owners_alone(user_data: UserDataServer) -> None:
    alice, bob = user_data.client(ALICE), user_data.client(BOB)
    created = await alice.post(f"/v3/user/{ALICE}/filter", {})
    filter_id = created.json["filter_id"]

    forbidden = await bob.get(f"/v3/user/{ALICE}/filter/{filter_id}")
    forbidden_too = await bob.post(f"/v3/user/{ALICE}/filter", {})
    not_found = await bob.get(f"/v3/user/{BOB}/filter/{filter_id}")

    assert forbidden.json["errcode"] == "M_FORBIDDEN"
    assert forbidden_too.json["errcode"] == "M_FORBIDDEN"
    assert (not_found.status, not_found.json["errcode"]) == (404, "M_NOT_FOUND")


async def test_the_oldest_filters_make_room_for_new_ones(
    user_data: UserDataServer,
) -> None:
    define = user_data.filters.define
    for limit in range(1, FILTERS_MAX + 1):
        user_data.clock.advance_ms(1)
        await define(ALICE, {"presence": {"limit": limit}})
    user_data.clock.advance_ms(1)
    renewed = await define(ALICE, {"presence": {"limit": 1}})
    user_data.clock.advance_ms(1)
    newest = await define(ALICE, {})

    rows = await user_data.database.all("SELECT filter_id, definition FROM filters")
    limits = {orjson.loads(row[1]).get("presence", {}).get("limit") for row in rows}

    assert len(rows) == FILTERS_MAX
    assert {renewed, newest} <= {row[0] for row in rows}
    assert 2 not in limits
