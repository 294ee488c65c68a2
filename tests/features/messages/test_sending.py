"""Sending messages, state and redactions, over HTTP."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from tests.features.rooms import (
    create_room,
    error_of,
    guest,
    join,
    member,
    send,
    set_state,
    state,
)
from tests.http_client import Client
from tests.server import Server

ALICE, BOB, CAROL = "@alice:test", "@bob:test", "@carol:test"
TEXT = {"msgtype": "m.text", "body": "hello"}


async def event(client: Client, room_id: str, event_id: str) -> dict[str, Any]:
    response = await client.get(f"/v3/rooms/{room_id}/event/{quote(event_id, safe='')}")
    assert response.status == 200, response.body
    found: dict[str, Any] = response.json
    return found


async def test_a_message_is_there_with_its_sender_and_content(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)

    event_id = await send(alice, room_id, "hello")

    found = await event(alice, room_id, event_id)
    assert (found["sender"], found["content"]) == (ALICE, TEXT)
    assert found["room_id"] == room_id


async def test_a_transaction_id_sends_once(server: Server) -> None:
    alice = server.client(ALICE, device_id="ONE")
    other_device = server.client(ALICE, device_id="TWO")
    room_id = await create_room(alice)
    path = f"/v3/rooms/{room_id}/send/m.room.message/txn"

    first = await alice.put(path, TEXT)
    again = await alice.put(path, {**TEXT, "body": "another"})
    elsewhere = await other_device.put(path, TEXT)

    assert first.json == again.json
    assert first.json != elsewhere.json
    event_id = first.json["event_id"]
    mine = await event(alice, room_id, event_id)
    theirs = await event(other_device, room_id, event_id)
    assert mine["unsigned"]["transaction_id"] == "txn"
    assert "transaction_id" not in theirs["unsigned"]


async def test_only_members_send(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice)

    refused = await bob.put(f"/v3/rooms/{room_id}/send/m.room.message/1", TEXT)
    unknown = await bob.put("/v3/rooms/!nowhere:test/send/m.room.message/1", TEXT)

    assert error_of(refused) == (403, "M_FORBIDDEN")
    assert error_of(unknown) == (404, "M_NOT_FOUND")


async def test_a_bad_content_is_refused(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    path = f"/v3/rooms/{room_id}/send/m.room.message/"
    before = (await alice.get(f"/v3/rooms/{room_id}/messages?dir=b")).json["chunk"]

    for number, (body, status, errcode) in enumerate(
        [
            (b"[]", 400, "M_BAD_JSON"),
            (b"{", 400, "M_NOT_JSON"),
            (b'{"a":1.5}', 400, "M_BAD_JSON"),
            (b'{"a":9007199254740992}', 400, "M_BAD_JSON"),
            (b'{"a":"\\u0000"}', 400, "M_BAD_JSON"),
            (b'{"a":"\\ud800"}', 400, "M_NOT_JSON"),
            (b'{"a":1,"a":2}', 400, "M_NOT_JSON"),
            (b'{"a":"%b"}' % (b"x" * 65_400), 413, "M_TOO_LARGE"),
        ]
    ):
        refused = await alice.put(f"{path}{number}", body=body)
        assert error_of(refused) == (status, errcode), body[:30]

    after = (await alice.get(f"/v3/rooms/{room_id}/messages?dir=b")).json["chunk"]
    assert [e["event_id"] for e in after] == [e["event_id"] for e in before]


@pytest.mark.parametrize(
    ("event_type", "content"),
    [
        ("m.room.power_levels", {"users": {ALICE: 100}}),
        ("m.room.power_levels", {"users": {"bob": 50}}),
        ("m.room.power_levels", {"users": []}),
        ("m.room.power_levels", {"events_default": "0"}),
        ("m.room.create", {"room_version": "12", "type": "m.space"}),
    ],
    ids=["creator", "no user ID", "no object", "no integer", "second create event"],
)
async def test_what_nobody_may_set_is_no_matter_of_power(
    server: Server, event_type: str, content: dict[str, Any]
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat", room_version="12")
    await join(bob, room_id)
    path = f"/v3/rooms/{room_id}/state/{event_type}"

    assert error_of(await alice.put(path, content)) == (400, "M_BAD_JSON")
    if event_type != "m.room.create":
        assert error_of(await bob.put(path, content)) == (403, "M_FORBIDDEN")


async def test_guests_send_messages_but_do_not_redact(server: Server) -> None:
    alice, visitor = server.client(ALICE), await guest(server)
    room_id = await create_room(
        alice,
        preset="public_chat",
        initial_state=[
            {"type": "m.room.guest_access", "content": {"guest_access": "can_join"}}
        ],
    )
    await join(visitor, room_id)

    event_id = await send(visitor, room_id)

    path = f"/v3/rooms/{room_id}/redact/{quote(event_id)}/1"
    refused = await visitor.put(path, {})
    assert error_of(refused) == (403, "M_GUEST_ACCESS_FORBIDDEN")


class TestState:
    """CS setRoomStateWithKey."""

    @pytest.mark.parametrize("slash", ["", "/"])
    async def test_an_empty_state_key_needs_no_slash(
        self, server: Server, slash: str
    ) -> None:
        alice = server.client(ALICE)
        room_id = await create_room(alice)
        path = f"/v3/rooms/{room_id}/state/m.room.topic{slash}"

        assert (await alice.put(path, {"topic": "Trees"})).status == 200
        assert (await alice.get(path)).json == {"topic": "Trees"}

    async def test_the_same_state_again_is_the_same_event(self, server: Server) -> None:
        alice = server.client(ALICE)
        room_id = await create_room(alice)

        first = await set_state(alice, room_id, "test.state", {"a": 1}, "key/%?")
        again = await set_state(alice, room_id, "test.state", {"a": 1}, "key/%?")
        other = await set_state(alice, room_id, "test.state", {"a": 2}, "key/%?")

        assert first.json == again.json
        assert first.json != other.json
        found = await event(alice, room_id, other.json["event_id"])
        assert found["state_key"] == "key/%?"
        assert found["unsigned"]["prev_content"] == {"a": 1}
        assert found["unsigned"]["replaces_state"] == first.json["event_id"]

    @pytest.mark.one_process(reason="through two, what is sent first may come between")
    async def test_the_same_state_at_once_is_the_same_event(
        self, server: Server
    ) -> None:
        """Also while something else is being set there: users press buttons twice."""
        alice = server.client(ALICE)
        room_id = await create_room(alice)

        other, *same = await asyncio.gather(
            set_state(alice, room_id, "test.state", {"a": 1}),
            *(set_state(alice, room_id, "test.state", {"a": 2}) for _ in range(8)),
        )

        assert len({each.json["event_id"] for each in same}) == 1
        found = await event(alice, room_id, same[0].json["event_id"])
        assert found["unsigned"].get("replaces_state") in {None, other.json["event_id"]}

    async def test_state_that_is_equal_only_in_python_is_another(
        self, server: Server
    ) -> None:
        """1, true and 1.0 are three things in JSON; the last, no event may hold."""
        alice = server.client(ALICE)
        room_id = await create_room(alice)

        first = await set_state(alice, room_id, "test.state", {"a": [1]})
        other = await set_state(alice, room_id, "test.state", {"a": [True]})
        refused = await set_state(alice, room_id, "test.state", {"a": [1.0]})

        assert first.json != other.json
        assert (refused.status, refused.json["errcode"]) == (400, "M_BAD_JSON")
        shown = await event(alice, room_id, other.json["event_id"])
        assert shown["content"]["a"][0] is True

    async def test_a_member_without_power_sets_no_state(self, server: Server) -> None:
        room_id = await create_room(server.client(ALICE), preset="public_chat")
        bob = server.client(BOB)
        await join(bob, room_id)

        refused = await set_state(bob, room_id, "m.room.name", {"name": "Mine"})

        assert error_of(refused) == (403, "M_FORBIDDEN")

    async def test_another_users_id_is_no_state_key_for_anyone(
        self, server: Server
    ) -> None:
        alice = server.client(ALICE)
        room_id = await create_room(alice)

        refused = await set_state(alice, room_id, "test.state", {}, BOB)

        assert error_of(refused) == (403, "M_FORBIDDEN")

    async def test_canonical_aliases_must_point_here(self, server: Server) -> None:
        alice = server.client(ALICE)
        await create_room(alice, room_alias_name="elsewhere")
        room_id = await create_room(alice, room_alias_name="here")

        for content, errcode in [
            ({"alias": "#elsewhere:test"}, "M_BAD_ALIAS"),
            ({"alias": "#nowhere:test"}, "M_BAD_ALIAS"),
            ({"alt_aliases": ["#here:test", "#nowhere:test"]}, "M_BAD_ALIAS"),
            ({"alias": "broken"}, "M_INVALID_PARAM"),
            ({"alias": ["#here:test"]}, "M_INVALID_PARAM"),
            ({"alt_aliases": "#here:test"}, "M_BAD_JSON"),
        ]:
            refused = await set_state(alice, room_id, "m.room.canonical_alias", content)
            assert error_of(refused) == (400, errcode), content

        content = {"alias": "#here:test", "alt_aliases": ["#here:test"]}
        allowed = await set_state(alice, room_id, "m.room.canonical_alias", content)
        assert allowed.status == 200


class TestRedaction:
    """CS redactEvent, and ``m.room.redaction`` through CS sendMessage."""

    @pytest.mark.parametrize("version", ["1", "10", "11", "12"])
    async def test_a_redacted_event_loses_its_content(
        self, server: Server, version: str
    ) -> None:
        alice = server.client(ALICE)
        room_id = await create_room(alice, room_version=version)
        first, second = await send(alice, room_id), await send(alice, room_id)

        by_endpoint = await alice.put(
            f"/v3/rooms/{room_id}/redact/{quote(first, safe='')}/1", {"reason": "typo"}
        )
        by_send = await alice.put(
            f"/v3/rooms/{room_id}/send/m.room.redaction/2", {"redacts": second}
        )

        for event_id, response in [(first, by_endpoint), (second, by_send)]:
            assert response.status == 200
            found = await event(alice, room_id, event_id)
            assert found["content"] == {}
            because = found["unsigned"]["redacted_because"]
            assert because["event_id"] == response.json["event_id"]
            assert because["redacts"] == because["content"]["redacts"] == event_id

    async def test_redacting_anothers_event_takes_power(self, server: Server) -> None:
        alice, bob, carol = (server.client(user) for user in (ALICE, BOB, CAROL))
        room_id = await create_room(alice, preset="public_chat")
        await join(bob, room_id)
        await join(carol, room_id)
        bobs, carols = await send(bob, room_id), await send(carol, room_id)

        async def redact(client: Client, event_id: str, txn: str) -> int:
            path = f"/v3/rooms/{room_id}/redact/{quote(event_id, safe='')}/{txn}"
            by_endpoint = (await client.put(path, {})).status
            by_send = await client.put(
                f"/v3/rooms/{room_id}/send/m.room.redaction/s{txn}",
                {"redacts": event_id},
            )
            assert by_send.status == by_endpoint
            return by_endpoint

        assert await redact(bob, carols, "1") == 403
        assert (await event(alice, room_id, carols))["content"] == TEXT
        assert await redact(bob, bobs, "2") == 200
        assert await redact(alice, carols, "3") == 200

    async def test_only_what_is_in_the_room_is_redacted(self, server: Server) -> None:
        alice = server.client(ALICE)
        room_id = await create_room(alice)
        elsewhere = await send(alice, await create_room(alice))
        state_path = f"/v3/rooms/{room_id}/state/m.room.create?format=event"
        create_id = (await alice.get(state_path)).json["event_id"]

        for event_id, error in [
            (elsewhere, (404, "M_NOT_FOUND")),
            ("$nothing", (404, "M_NOT_FOUND")),
            (create_id, (403, "M_FORBIDDEN")),
        ]:
            path = f"/v3/rooms/{room_id}/redact/{quote(event_id, safe='')}/1"
            assert error_of(await alice.put(path, {})) == error

        for content in ({}, {"redacts": 7}):
            refused = await alice.put(
                f"/v3/rooms/{room_id}/send/m.room.redaction/2", content
            )
            assert error_of(refused) == (400, "M_BAD_JSON")

    async def test_a_redacted_topic_is_gone_from_the_state(
        self, server: Server
    ) -> None:
        alice = server.client(ALICE)
        room_id = await create_room(alice)
        topic = await set_state(alice, room_id, "m.room.topic", {"topic": "Trees"})
        event_id = quote(topic.json["event_id"], safe="")

        await alice.put(f"/v3/rooms/{room_id}/redact/{event_id}/1", {})

        assert await state(alice, room_id, "m.room.topic") == {}

    async def test_a_repeated_redaction_is_the_same_event(self, server: Server) -> None:
        alice = server.client(ALICE)
        room_id = await create_room(alice)
        event_id = quote(await send(alice, room_id), safe="")
        path = f"/v3/rooms/{room_id}/redact/{event_id}/1"

        assert (await alice.put(path, {})).json == (await alice.put(path, {})).json


async def test_a_former_member_redacts_nothing(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    event_id = quote(await send(bob, room_id), safe="")
    await member(alice, room_id, "kick", BOB)

    refused = await bob.put(f"/v3/rooms/{room_id}/redact/{event_id}/1", {})

    assert error_of(refused) == (403, "M_FORBIDDEN")
