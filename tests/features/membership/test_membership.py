"""Joining, inviting, leaving, knocking and banning, over HTTP."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.backends import table_of_refusals
from tests.features.rooms import (
    create_room,
    error_of,
    guest,
    join,
    member,
    set_state,
    state,
)
from tests.server import Server

ALICE, BOB, CAROL = "@alice:test", "@bob:test", "@carol:test"


async def membership(server: Server, room_id: str, user_id: str) -> str:
    content = await state(server.client(ALICE), room_id, "m.room.member", user_id)
    value: str = content["membership"]
    return value


async def test_a_public_room_is_joined_by_id_and_by_alias(server: Server) -> None:
    room_id = await create_room(
        server.client(ALICE), preset="public_chat", room_alias_name="open"
    )

    by_alias = await server.client(BOB).post(f"/v3/join/{quote('#open:test')}", {})
    by_id = await server.client(CAROL).post(
        f"/v3/rooms/{room_id}/join", {"reason": "curious"}
    )

    assert by_alias.json == by_id.json == {"room_id": room_id}
    joined = await server.client(BOB).get("/v3/joined_rooms")
    assert joined.json == {"joined_rooms": [room_id]}
    carol = await state(server.client(ALICE), room_id, "m.room.member", CAROL)
    assert carol["reason"] == "curious"


async def test_joining_twice_changes_nothing(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, preset="public_chat")
    await join(server.client(BOB), room_id)
    path = f"/v3/rooms/{room_id}/state/m.room.member/{quote(BOB)}?format=event"
    before = (await alice.get(path)).json["event_id"]

    await join(server.client(BOB), room_id)

    assert (await alice.get(path)).json["event_id"] == before


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("!nowhere:test", (404, "M_NOT_FOUND")),
        ("!nowhere:elsewhere.org", (502, "M_UNKNOWN")),
        ("#nowhere:test", (404, "M_NOT_FOUND")),
        ("#nowhere:elsewhere.org", (502, "M_UNKNOWN")),
        ("#nowhere", (400, "M_INVALID_PARAM")),
        ("nowhere", (404, "M_NOT_FOUND")),
    ],
)
async def test_an_unknown_room_is_not_joined(
    server: Server, target: str, error: tuple[int, str]
) -> None:
    bob = server.client(BOB)

    assert error_of(await bob.post(f"/v3/join/{quote(target)}", {})) == error
    assert error_of(await bob.post(f"/v3/knock/{quote(target)}", {})) == error


async def test_a_private_room_takes_an_invitation(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice)

    refused = await bob.post(f"/v3/rooms/{room_id}/join", {})
    assert error_of(refused) == (403, "M_FORBIDDEN")

    invited = await member(alice, room_id, "invite", BOB, reason="come")
    assert (invited.status, invited.json) == (200, {})
    await join(bob, room_id)
    assert await membership(server, room_id, BOB) == "join"


async def test_an_invitation_shows_the_profile_of_the_invited(server: Server) -> None:
    bob = server.client(BOB)
    await bob.put(f"/v3/profile/{quote(BOB)}/displayname", {"displayname": "Robert"})
    alice = server.client(ALICE)
    room_id = await create_room(alice)

    await member(alice, room_id, "invite", BOB)

    assert await state(alice, room_id, "m.room.member", BOB) == {
        "membership": "invite",
        "displayname": "Robert",
    }


async def test_a_member_cannot_be_invited_again(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, preset="public_chat")
    await join(server.client(BOB), room_id)

    refused = await member(alice, room_id, "invite", BOB)

    assert error_of(refused) == (403, "M_FORBIDDEN")
    assert refused.json["error"] == f"{BOB} is already in the room"
    put = await set_state(
        alice, room_id, "m.room.member", {"membership": "invite"}, BOB
    )
    assert error_of(put) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize("action", ["invite", "kick", "ban", "unban"])
async def test_an_outsider_changes_nobodys_membership(
    server: Server, action: str
) -> None:
    room_id = await create_room(server.client(ALICE))

    refused = await member(server.client(BOB), room_id, action, CAROL)

    assert error_of(refused) == (403, "M_FORBIDDEN")


@table_of_refusals
@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"user_id": 7}, "M_BAD_JSON"),
        ({"user_id": "bob"}, "M_INVALID_PARAM"),
        ({"user_id": BOB, "reason": 7}, "M_BAD_JSON"),
    ],
)
@pytest.mark.parametrize("action", ["invite", "kick", "ban", "unban"])
async def test_a_malformed_target_is_refused(
    server: Server, action: str, body: dict[str, Any], errcode: str
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)

    refused = await alice.post(f"/v3/rooms/{room_id}/{action}", body)

    assert error_of(refused) == (400, errcode)


async def test_without_mail_nobody_is_invited_by_email(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    body = {
        "id_server": "id.test",
        "id_access_token": "x",
        "medium": "email",
        "address": "bob@example.org",
    }

    refused = await alice.post(f"/v3/rooms/{room_id}/invite", body)

    assert error_of(refused) == (400, "M_THREEPID_MEDIUM_NOT_SUPPORTED")


async def test_a_kicked_user_may_come_back_and_a_banned_one_may_not(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)

    assert (await member(alice, room_id, "kick", BOB, reason="x")).status == 200
    content = await state(alice, room_id, "m.room.member", BOB)
    assert content == {"membership": "leave", "reason": "x"}
    assert error_of(await member(alice, room_id, "kick", BOB)) == (403, "M_FORBIDDEN")
    await join(bob, room_id)

    assert (await member(alice, room_id, "ban", BOB)).status == 200
    refused = await bob.post(f"/v3/rooms/{room_id}/join", {})
    assert error_of(refused) == (403, "M_FORBIDDEN")
    invited = await member(alice, room_id, "invite", BOB)
    assert error_of(invited) == (403, "M_FORBIDDEN")
    # A kick must not lift the ban.
    assert error_of(await member(alice, room_id, "kick", BOB)) == (403, "M_FORBIDDEN")
    assert await membership(server, room_id, BOB) == "ban"

    assert (await member(alice, room_id, "unban", BOB)).status == 200
    assert error_of(await member(alice, room_id, "unban", BOB)) == (400, "M_BAD_STATE")
    await join(bob, room_id)


async def test_members_without_power_neither_kick_nor_ban(server: Server) -> None:
    room_id = await create_room(server.client(ALICE), preset="public_chat")
    await join(server.client(BOB), room_id)
    await join(server.client(CAROL), room_id)

    for action in ("kick", "ban"):
        refused = await member(server.client(BOB), room_id, action, CAROL)
        assert error_of(refused) == (403, "M_FORBIDDEN")


async def test_leaving_ends_a_stay_an_invitation_and_a_knock(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(
        alice,
        initial_state=[
            {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
        ],
    )

    async def leave() -> None:
        response = await bob.post(f"/v3/rooms/{room_id}/leave", {"reason": "bye"})
        assert (response.status, response.json) == (200, {})
        content = await state(alice, room_id, "m.room.member", BOB)
        assert content == {"membership": "leave", "reason": "bye"}

    await member(alice, room_id, "invite", BOB)
    await leave()
    await member(alice, room_id, "invite", BOB)
    await join(bob, room_id)
    await leave()
    knocked = await bob.post(f"/v3/knock/{room_id}", {"reason": "please"})
    assert knocked.json == {"room_id": room_id}
    content = await state(alice, room_id, "m.room.member", BOB)
    assert (content["membership"], content["reason"]) == ("knock", "please")
    await leave()
    # Once more is no error.
    await leave()


async def test_leaving_a_room_one_was_never_in_is_refused(server: Server) -> None:
    bob = server.client(BOB)
    room_id = await create_room(server.client(ALICE), preset="public_chat")

    refused = await bob.post(f"/v3/rooms/{room_id}/leave", {})
    unknown = await bob.post("/v3/rooms/!nowhere:test/leave", {})

    assert error_of(refused) == (403, "M_FORBIDDEN")
    assert error_of(unknown) == (404, "M_NOT_FOUND")


async def test_a_room_that_takes_no_knocks_refuses_them(server: Server) -> None:
    room_id = await create_room(server.client(ALICE))

    refused = await server.client(BOB).post(f"/v3/knock/{room_id}", {})

    assert error_of(refused) == (403, "M_FORBIDDEN")


async def test_only_a_room_that_was_left_is_forgotten(server: Server) -> None:
    bob = server.client(BOB)
    room_id = await create_room(server.client(ALICE), preset="public_chat")
    path = f"/v3/rooms/{room_id}/forget"

    assert error_of(await bob.post(path, {})) == (404, "M_NOT_FOUND")
    await join(bob, room_id)
    assert error_of(await bob.post(path, {})) == (400, "M_UNKNOWN")
    await bob.post(f"/v3/rooms/{room_id}/leave", {})
    assert (await bob.get(f"/v3/rooms/{room_id}/state")).status == 200
    assert (await bob.post(path, {})).json == {}
    assert (await bob.post(path, {})).json == {}
    refused = await bob.get(f"/v3/rooms/{room_id}/state")
    assert error_of(refused) == (403, "M_FORBIDDEN")


async def test_guests_join_only_where_the_room_lets_them(server: Server) -> None:
    alice = server.client(ALICE)
    closed = await create_room(alice, preset="public_chat")
    visitor = await guest(server)

    refused = await visitor.post(f"/v3/rooms/{closed}/join", {})
    assert error_of(refused) == (403, "M_GUEST_ACCESS_FORBIDDEN")

    await set_state(alice, closed, "m.room.guest_access", {"guest_access": "can_join"})
    assert (await visitor.post(f"/v3/rooms/{closed}/join", {})).status == 200


class TestMemberState:
    """``m.room.member`` through CS setRoomStateWithKey."""

    async def test_it_obeys_the_rules_of_the_endpoints(self, server: Server) -> None:
        alice, bob = server.client(ALICE), server.client(BOB)
        room_id = await create_room(alice, preset="public_chat")

        joined = await set_state(
            bob, room_id, "m.room.member", {"membership": "join"}, BOB
        )
        assert joined.status == 200
        others = await set_state(
            bob, room_id, "m.room.member", {"membership": "leave"}, ALICE
        )
        assert error_of(others) == (403, "M_FORBIDDEN")
        left = await set_state(
            bob, room_id, "m.room.member", {"membership": "leave"}, BOB
        )
        assert left.status == 200

    async def test_a_name_of_ones_own_in_a_room_stays(self, server: Server) -> None:
        alice = server.client(ALICE)
        room_id = await create_room(alice)
        content = {"membership": "join", "displayname": "Captain"}

        assert (
            await set_state(alice, room_id, "m.room.member", content, ALICE)
        ).status == 200
        assert await state(alice, room_id, "m.room.member", ALICE) == content

    @pytest.mark.parametrize(
        ("state_key", "content", "errcode"),
        [
            ("nobody", {"membership": "join"}, "M_INVALID_PARAM"),
            (ALICE, {}, "M_BAD_JSON"),
            (ALICE, {"membership": ["join"]}, "M_BAD_JSON"),
        ],
    )
    async def test_it_must_be_a_membership(
        self, server: Server, state_key: str, content: object, errcode: str
    ) -> None:
        alice = server.client(ALICE)
        room_id = await create_room(alice)

        refused = await set_state(alice, room_id, "m.room.member", content, state_key)

        assert error_of(refused) == (400, errcode)
