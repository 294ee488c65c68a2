"""Account data, over HTTP, and what `/sync` shows of it."""

from typing import Any

import orjson
import pytest

from tests.features.user_data import ALICE, BOB, MALLORY, UserDataServer
from tremula.features.account_data import storage
from tremula.features.account_data.service import CONTENT_BYTES_MAX, TYPES_MAX
from tremula.features.account_data.storage import GLOBAL, AccountDatum
from tremula.features.account_data.sync import (
    GlobalAccountDataPart,
    RoomAccountDataPart,
)
from tremula.infra.db import Statements
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import UserId
from tremula.protocol.push_rules import OwnRules

DIRECT = {"@bob:test": ["!room:test"]}


def push_rules_event(user_id: UserId) -> dict[str, Any]:
    """What everybody is shown at first."""
    rules = orjson.loads(orjson.dumps(OwnRules().to_json(user_id)))
    return {"type": "m.push_rules", "content": {"global": rules}}


async def test_what_is_set_is_read_and_synced(user_data: UserDataServer) -> None:
    alice = user_data.client(ALICE)
    await user_data.create_room(ALICE)
    since = user_data.journal.position
    path = f"/v3/user/{ALICE}/account_data/m.direct"

    response = await alice.put(path, DIRECT)

    assert (response.status, response.json) == (200, {})
    assert (await alice.get(path)).json == DIRECT
    event = {"type": "m.direct", "content": DIRECT}
    ctx = await user_data.context(ALICE)
    initial = await user_data.user_events("account_data", ctx)
    assert initial == [event, push_rules_event(ALICE)]
    assert await user_data.user_events("account_data", ctx, since) == [event]
    assert not await user_data.user_events("account_data", ctx, ctx.now)
    others = await user_data.context(BOB)
    [rules] = await user_data.user_events("account_data", others)
    assert rules == push_rules_event(BOB)


async def test_of_two_contents_that_of_the_later_position_stays(
    user_data: UserDataServer,
) -> None:
    """Which of two processes commits first says nothing: clients are told in order."""
    for pos, body in ((1_025, b'{"told":"last"}'), (1_024, b'{"told":"first"}')):
        unit = Statements()
        datum = AccountDatum(GLOBAL, "m.type", body)
        storage.upsert_datum(unit, ALICE, datum, pos=pos)
        await user_data.database.commit(unit)

    response = await user_data.client(ALICE).get(
        f"/v3/user/{ALICE}/account_data/m.type"
    )
    assert response.json == {"told": "last"}


async def test_account_data_of_a_room_is_apart(user_data: UserDataServer) -> None:
    """ "There is no inheritance mechanism here"."""
    alice = user_data.client(ALICE)
    room_id = await user_data.create_room(ALICE)
    other = await user_data.create_room(ALICE)
    since = user_data.journal.position
    path = f"/v3/user/{ALICE}/rooms/{room_id}/account_data/m.marked_unread"

    assert (await alice.put(path, {"unread": True})).status == 200

    assert (await alice.get(path)).json == {"unread": True}
    events = {room_id: [{"type": "m.marked_unread", "content": {"unread": True}}]}
    ctx = await user_data.context(ALICE)
    for start in (0, since):
        assert await user_data.room_events("account_data", ctx, start) == events
        assert not await user_data.user_events("account_data", ctx, start) or not start
    for elsewhere in (
        f"/v3/user/{ALICE}/account_data/m.marked_unread",
        f"/v3/user/{ALICE}/rooms/{other}/account_data/m.marked_unread",
    ):
        missing = await alice.get(elsewhere)
        assert (missing.status, missing.json["errcode"]) == (404, "M_NOT_FOUND")


async def test_memory_and_database_tell_the_same(user_data: UserDataServer) -> None:
    alice = user_data.client(ALICE)
    room_id = await user_data.create_room(ALICE)
    await alice.put(f"/v3/user/{ALICE}/account_data/a", {"n": 0})
    since = user_data.journal.position
    for n in (1, 2):
        await alice.put(f"/v3/user/{ALICE}/account_data/a", {"n": n})
        await alice.put(f"/v3/user/{ALICE}/rooms/{room_id}/account_data/b", {"n": n})
    ctx = await user_data.context(ALICE)
    remembered = (
        await user_data.user_events("account_data", ctx, since),
        await user_data.room_events("account_data", ctx, since),
    )

    restarted = await Journal.open(user_data.database)
    db = user_data.database
    user_data.user_parts["account_data"] = GlobalAccountDataPart(
        db, restarted, user_data.account_data
    )
    user_data.room_parts["account_data"] = RoomAccountDataPart(db, restarted)

    assert remembered == (
        [{"type": "a", "content": {"n": 2}}],
        {room_id: [{"type": "b", "content": {"n": 2}}]},
    )
    assert remembered == (
        await user_data.user_events("account_data", ctx, since),
        await user_data.room_events("account_data", ctx, since),
    )


@pytest.mark.parametrize("data_type", ["m.fully_read", "m.push_rules"])
async def test_the_servers_own_types_are_refused(
    user_data: UserDataServer, data_type: str
) -> None:
    """ "Servers MUST reject setting account data for event types that the server
    manages by using a 405 error response"."""
    room_id = await user_data.create_room(ALICE)

    for scope in ("", f"/rooms/{room_id}"):
        response = await user_data.client(ALICE).put(
            f"/v3/user/{ALICE}{scope}/account_data/{data_type}", {}
        )
        assert (response.status, response.json["errcode"]) == (405, "M_BAD_JSON")


async def test_push_rules_are_read_as_normal(user_data: UserDataServer) -> None:
    response = await user_data.client(ALICE).get(
        f"/v3/user/{ALICE}/account_data/m.push_rules"
    )

    assert response.json == push_rules_event(ALICE)["content"]


async def test_account_data_is_its_owners_alone(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE)
    mallory = user_data.client(MALLORY)

    for scope in ("", f"/rooms/{room_id}"):
        path = f"/v3/user/{ALICE}{scope}/account_data/a"
        for response in (await mallory.get(path), await mallory.put(path, {})):
            assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")


async def test_rooms_that_are_not_the_users_have_no_account_data(
    user_data: UserDataServer,
) -> None:
    """Whether there is such a room at all, an outsider does not learn."""
    room_id = await user_data.create_room(ALICE)
    mallory = user_data.client(MALLORY)

    for unknown in (room_id, "!unknown:test"):
        response = await mallory.put(
            f"/v3/user/{MALLORY}/rooms/{unknown}/account_data/a", {}
        )
        assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")
        response = await mallory.get(
            f"/v3/user/{MALLORY}/rooms/{unknown}/account_data/a"
        )
        assert (response.status, response.json["errcode"]) == (404, "M_NOT_FOUND")
    response = await mallory.put(f"/v3/user/{MALLORY}/rooms/room/account_data/a", {})
    assert (response.status, response.json["errcode"]) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize(
    ("data_type", "body", "status", "errcode"),
    [
        ("a", b"[]", 400, "M_BAD_JSON"),
        ("a", b"{", 400, "M_NOT_JSON"),
        ("a", b'{"a":1,"a":2}', 400, "M_NOT_JSON"),
        ("a" * 256, b"{}", 400, "M_INVALID_PARAM"),
        ("a", b'{"a":"%b"}' % (b"x" * CONTENT_BYTES_MAX), 413, "M_TOO_LARGE"),
    ],
)
async def test_malformed_account_data_is_refused(
    user_data: UserDataServer, data_type: str, body: bytes, status: int, errcode: str
) -> None:
    response = await user_data.client(ALICE).put(
        f"/v3/user/{ALICE}/account_data/{data_type}", body=body
    )

    assert (response.status, response.json["errcode"]) == (status, errcode)
    ctx = await user_data.context(ALICE)
    assert await user_data.user_events("account_data", ctx) == [push_rules_event(ALICE)]


async def test_the_number_of_types_is_bounded(user_data: UserDataServer) -> None:
    unit = user_data.journal.unit()
    for number in range(TYPES_MAX):
        user_data.account_data.replace(unit, ALICE, 0, f"type{number}", {}, None)
    await user_data.journal.commit(unit)
    alice = user_data.client(ALICE)

    known = await alice.put(f"/v3/user/{ALICE}/account_data/type0", {"a": 1})
    new = await alice.put(f"/v3/user/{ALICE}/account_data/new", {})

    assert known.status == 200
    assert (new.status, new.json["errcode"]) == (400, "M_INVALID_PARAM")


async def test_ignored_users_are_known_at_once(user_data: UserDataServer) -> None:
    ignored_users = user_data.account_data.ignored_users
    put = user_data.account_data.put
    assert await ignored_users(ALICE) == frozenset()

    await put(ALICE, "m.ignored_user_list", {"ignored_users": {BOB: {}}})
    assert await ignored_users(ALICE) == {BOB}
    assert await ignored_users(BOB) == frozenset()

    for malformed in ({}, {"ignored_users": [BOB]}, {"ignored_users": None}):
        await put(ALICE, "m.ignored_user_list", malformed)
        assert await ignored_users(ALICE) == frozenset()


async def test_a_filter_chooses_types_and_rooms(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE)
    for name in ("a", "b", "c"):
        await user_data.account_data.put(ALICE, name, {})
        await user_data.account_data.put_in_room(ALICE, room_id, name, {})
    chosen = {"not_types": ["m.*", "c"], "limit": 1}

    ctx = await user_data.context(
        ALICE, {"account_data": chosen, "room": {"account_data": chosen}}
    )
    elsewhere = await user_data.context(
        ALICE, {"room": {"account_data": {"not_rooms": [room_id]}}}
    )

    assert len(await user_data.user_events("account_data", ctx)) == 1
    events = await user_data.room_events("account_data", ctx)
    assert len(events[room_id]) == 1
    assert not await user_data.room_events("account_data", elsewhere)
