"""Profiles, over HTTP, and how rooms hear of them."""

import asyncio

import orjson
import pytest

from tests.backends import table_of_refusals
from tests.features.user_data import (
    ALICE,
    BOB,
    GUEST,
    MALLORY,
    UserDataServer,
    create_users,
)
from tremula.features.profiles import storage
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.profiles import PROFILE_BYTES_MAX


async def member_content(
    server: UserDataServer, room_id: RoomId, user_id: UserId
) -> dict[str, object]:
    """The content of the user's current member event."""
    view = await server.reader.get_room(room_id)
    member = view.state.get(("m.room.member", user_id))
    assert member is not None
    [event] = (await server.reader.events.by_nids([member.event_nid])).values()
    return event.content


async def test_anyone_may_read_a_profile(user_data: UserDataServer) -> None:
    await create_users(user_data, [ALICE])

    whole = await user_data.anonymous.get(f"/v3/profile/{ALICE}")
    field = await user_data.anonymous.get(f"/v3/profile/{ALICE}/displayname")

    assert (whole.status, whole.json) == (200, {"displayname": "alice"})
    assert (field.status, field.json) == (200, {"displayname": "alice"})


@pytest.mark.parametrize("path", ["@nobody:test", "@nobody:test/displayname"])
async def test_an_unknown_user_has_no_profile(
    user_data: UserDataServer, path: str
) -> None:
    response = await user_data.anonymous.get(f"/v3/profile/{path}")

    assert (response.status, response.json["errcode"]) == (404, "M_NOT_FOUND")


async def test_any_field_can_be_set_and_deleted(user_data: UserDataServer) -> None:
    await create_users(user_data, [ALICE])
    alice = user_data.client(ALICE)
    values = {"m.tz": "Europe/Berlin", "org.example.any": {"x": [1, None]}}

    for name, value in values.items():
        response = await alice.put(f"/v3/profile/{ALICE}/{name}", {name: value})
        assert (response.status, response.json) == (200, {})
    whole = await alice.get(f"/v3/profile/{ALICE}")
    assert whole.json == {"displayname": "alice", **values}

    for name in (*values, "displayname", "org.example.never_set"):
        response = await alice.delete(f"/v3/profile/{ALICE}/{name}")
        assert (response.status, response.json) == (200, {})
    whole = await alice.get(f"/v3/profile/{ALICE}")
    assert (whole.status, whole.json) == (200, {})
    gone = await alice.get(f"/v3/profile/{ALICE}/m.tz")
    assert (gone.status, gone.json["errcode"]) == (404, "M_NOT_FOUND")


@table_of_refusals
@pytest.mark.parametrize(
    ("name", "body", "errcode"),
    [
        ("displayname", {}, "M_MISSING_PARAM"),
        ("displayname", {"avatar_url": "mxc://a/b"}, "M_MISSING_PARAM"),
        ("displayname", {"displayname": 1}, "M_BAD_JSON"),
        ("displayname", {"displayname": "x" * 257}, "M_INVALID_PARAM"),
        ("avatar_url", {"avatar_url": "x" * 2_000}, "M_INVALID_PARAM"),
        ("Displayname", {"Displayname": "x"}, "M_INVALID_PARAM"),
        ("a" * 256, {"a" * 256: 1}, "M_KEY_TOO_LARGE"),
        ("a.b", {"a.b": "x" * PROFILE_BYTES_MAX}, "M_PROFILE_TOO_LARGE"),
        ("a.b", [], "M_BAD_JSON"),
        ("a.b", {"a.b": "\0"}, "M_BAD_JSON"),
    ],
)
async def test_a_malformed_field_is_refused(
    user_data: UserDataServer, name: str, body: object, errcode: str
) -> None:
    await create_users(user_data, [ALICE])

    response = await user_data.client(ALICE).put(f"/v3/profile/{ALICE}/{name}", body)

    assert (response.status, response.json["errcode"]) == (400, errcode)
    whole = await user_data.anonymous.get(f"/v3/profile/{ALICE}")
    assert whole.json == {"displayname": "alice"}


async def test_a_name_has_as_many_letters_of_any_language(
    user_data: UserDataServer,
) -> None:
    await create_users(user_data, [ALICE])
    path, name = f"/v3/profile/{ALICE}/displayname", "\N{ROUND PUSHPIN}" * 256

    response = await user_data.client(ALICE).put(path, {"displayname": name})

    assert response.status == 200
    assert (await user_data.anonymous.get(path)).json == {"displayname": name}


async def test_fields_set_at_the_same_time_stay_within_64_kib_together(
    user_data: UserDataServer,
) -> None:
    await create_users(user_data, [ALICE])
    half = "x" * (PROFILE_BYTES_MAX // 2 + 1)

    responses = await asyncio.gather(
        *(
            user_data.client(ALICE).put(f"/v3/profile/{ALICE}/{name}", {name: half})
            for name in ("a.a", "a.b", "a.c")
        )
    )

    assert sorted(response.status for response in responses) == [200, 400, 400]
    whole = await user_data.anonymous.get(f"/v3/profile/{ALICE}")
    assert len(whole.body) <= PROFILE_BYTES_MAX


async def test_a_profile_is_changed_by_its_owner_only(
    user_data: UserDataServer,
) -> None:
    await create_users(user_data, [ALICE])
    mallory = user_data.client(MALLORY)
    path = f"/v3/profile/{ALICE}/displayname"

    changed = await mallory.put(path, {"displayname": "Mallory"})
    deleted = await mallory.delete(path)

    assert (changed.status, changed.json["errcode"]) == (403, "M_FORBIDDEN")
    assert (deleted.status, deleted.json["errcode"]) == (403, "M_FORBIDDEN")


async def test_guests_change_their_displayname_only(
    user_data: UserDataServer,
) -> None:
    await create_users(user_data, [GUEST])
    guest = user_data.client(GUEST)

    name = await guest.put(f"/v3/profile/{GUEST}/displayname", {"displayname": "G"})
    avatar = await guest.put(f"/v3/profile/{GUEST}/avatar_url", {"avatar_url": "x"})

    assert name.status == 200
    assert avatar.json["errcode"] == "M_GUEST_ACCESS_FORBIDDEN"


async def test_joined_rooms_hear_of_a_new_name(user_data: UserDataServer) -> None:
    await create_users(user_data, [ALICE, BOB])
    joined = await user_data.create_room(BOB, ALICE)
    left = await user_data.create_room(BOB, ALICE)
    await user_data.leave(left, ALICE)

    await user_data.profiles.set_field(ALICE, "displayname", "Alice L.")
    await user_data.profiles.set_field(ALICE, "avatar_url", "mxc://test/a")
    while await user_data.propagation.propagate_some():
        pass

    assert await member_content(user_data, joined, ALICE) == {
        "membership": "join",
        "displayname": "Alice L.",
        "avatar_url": "mxc://test/a",
    }
    assert await member_content(user_data, left, ALICE) == {"membership": "leave"}
    assert not await storage.propagations(user_data.database, limit=10)


async def test_a_deleted_name_leaves_the_member_events(
    user_data: UserDataServer,
) -> None:
    await create_users(user_data, [ALICE])
    room_id = await user_data.create_room(ALICE)

    await user_data.profiles.set_field(ALICE, "displayname", "Alice L.")
    await user_data.propagation.propagate_some()
    await user_data.profiles.delete_field(ALICE, "displayname")
    await user_data.propagation.propagate_some()

    assert await member_content(user_data, room_id, ALICE) == {"membership": "join"}


async def test_propagation_goes_on_where_it_was_interrupted(
    user_data: UserDataServer,
) -> None:
    """What is to be told is stored with the change, and telling twice is harmless."""
    await create_users(user_data, [ALICE])
    room_id = await user_data.create_room(ALICE)
    await user_data.profiles.set_field(ALICE, "displayname", "Alice L.")
    [(user_id, pos)] = await storage.propagations(user_data.database, limit=10)
    assert (user_id, pos) == (ALICE, user_data.journal.position)

    running = asyncio.create_task(user_data.propagation.run())
    assert await user_data.journal.wait(ALICE, pos, timeout_s=5)
    running.cancel()

    content = await member_content(user_data, room_id, ALICE)
    assert content["displayname"] == "Alice L."


async def test_a_change_during_propagation_is_propagated_too(
    user_data: UserDataServer,
) -> None:
    await create_users(user_data, [ALICE])
    await user_data.profiles.set_field(ALICE, "displayname", "One")
    [(_, first_pos)] = await storage.propagations(user_data.database, limit=10)
    await user_data.profiles.set_field(ALICE, "displayname", "Two")

    unit = user_data.journal.unit()
    storage.finish_propagation(unit, ALICE, pos=first_pos)
    await user_data.journal.commit(unit)

    assert await storage.propagations(user_data.database, limit=10)


async def test_other_fields_are_not_propagated(user_data: UserDataServer) -> None:
    await create_users(user_data, [ALICE])

    await user_data.profiles.set_field(ALICE, "m.tz", "UTC")

    assert not await storage.propagations(user_data.database, limit=10)


async def test_setting_the_same_value_writes_nothing(
    user_data: UserDataServer,
) -> None:
    await create_users(user_data, [ALICE])
    before = user_data.journal.position

    await user_data.profiles.set_field(ALICE, "displayname", "alice")

    assert user_data.journal.position == before


async def test_an_erased_profile_is_empty(user_data: UserDataServer) -> None:
    await create_users(user_data, [ALICE])

    await user_data.profiles.erase(ALICE)

    assert orjson.loads(await user_data.profiles.get(ALICE)) == {}
    assert await user_data.profiles.member_fields(ALICE) == {}
