"""Ephemeral events (``com.beeper.ephemeral``), over HTTP and in `/sync`."""

from typing import Any

import pytest

from tests.features.user_data import ALICE, BOB, MALLORY, UserDataServer
from tests.http_client import HttpResponse
from tremula.features.ephemeral_events.service import (
    CONTENT_BYTES_MAX,
    KEPT_BYTES_MAX,
    LIFETIME_S,
)
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms.events import Draft

TYPE = "com.example.cursor"


async def put(
    server: UserDataServer,
    user_id: UserId,
    room_id: RoomId,
    content: object,
    *,
    event_type: str = TYPE,
    txn_id: str = "txn",
    query: str = "",
) -> HttpResponse:
    """Send an ephemeral event."""
    return await server.client(user_id).put(
        f"/unstable/com.beeper.ephemeral/rooms/{room_id}/ephemeral/{event_type}/{txn_id}{query}",
        content,
    )


async def shown(
    server: UserDataServer,
    user_id: UserId,
    room_id: RoomId,
    since: int = 0,
    **of: object,
) -> list[dict[str, Any]]:
    """What a sync of *user_id* has."""
    ctx = await server.context(user_id, {"room": {"ephemeral": of}} if of else None)
    return (await server.room_events("ephemeral_events", ctx, since)).get(room_id, [])


async def test_who_is_in_the_room_is_told(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    other_id = await user_data.create_room(BOB)
    since = user_data.journal.position
    waiting = user_data.journal.wait(BOB, since, timeout_s=5)

    response = await put(user_data, ALICE, room_id, {"x": 1}, query="?ts=17")

    assert response.status == 200
    assert await waiting
    assert await shown(user_data, BOB, room_id, since) == [
        {
            "type": TYPE,
            "sender": ALICE,
            "event_id": response.json["event_id"],
            "room_id": room_id,
            "origin_server_ts": 17,
            "content": {"x": 1},
        }
    ]
    assert await shown(user_data, BOB, room_id, user_data.journal.position) == []
    assert await shown(user_data, BOB, other_id) == []


async def test_they_live_for_two_minutes(user_data: UserDataServer) -> None:
    """Whatever time the client gives."""
    room_id = await user_data.create_room(ALICE)
    await put(user_data, ALICE, room_id, {}, query="?ts=1")
    user_data.clock.advance_ms(int(LIFETIME_S * 500))
    await put(user_data, ALICE, room_id, {}, txn_id="later")

    user_data.clock.advance_ms(int(LIFETIME_S * 500) - 1)
    first, second = await shown(user_data, ALICE, room_id)
    user_data.clock.advance_ms(1)

    assert first["origin_server_ts"] == 1
    assert await shown(user_data, ALICE, room_id) == [second]


async def test_a_repeated_request_is_one_event(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    one = await put(user_data, ALICE, room_id, {"a": 1})
    same = await put(user_data, ALICE, room_id, {"a": 1})
    other_type = await put(user_data, ALICE, room_id, {}, event_type="com.example.b")

    assert one.json == same.json != other_type.json
    assert len(await shown(user_data, BOB, room_id)) == 2
    user_data.clock.advance_ms(int(LIFETIME_S * 1000))
    again = await put(user_data, ALICE, room_id, {"a": 1})
    assert again.json != one.json


async def test_filters_and_ignored_users_count(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    await put(user_data, ALICE, room_id, {})

    assert len(await shown(user_data, BOB, room_id, types=["com.example.*"])) == 1
    assert await shown(user_data, BOB, room_id, types=["m.*"]) == []
    assert await shown(user_data, BOB, room_id, not_senders=[ALICE]) == []
    assert await shown(user_data, BOB, room_id, not_rooms=[room_id]) == []
    await user_data.account_data.put(
        BOB, "m.ignored_user_list", {"ignored_users": {ALICE: {}}}
    )
    assert await shown(user_data, BOB, room_id) == []


@pytest.mark.parametrize(
    ("content", "event_type", "query", "expected"),
    [
        ([], TYPE, "", (400, "M_BAD_JSON")),
        ({}, TYPE, "?ts=x", (400, "M_INVALID_PARAM")),
        ({}, TYPE, "?ts=-1", (400, "M_INVALID_PARAM")),
        ({}, "x" * 256, "", (400, "M_INVALID_PARAM")),
        ({}, "m.typing", "", (400, "M_INVALID_PARAM")),
        ({}, "m.receipt", "", (400, "M_INVALID_PARAM")),
        ({"x": "x" * CONTENT_BYTES_MAX}, TYPE, "", (413, "M_TOO_LARGE")),
    ],
)
async def test_what_cannot_be_one_is_refused(
    user_data: UserDataServer,
    content: object,
    event_type: str,
    query: str,
    expected: tuple[int, str],
) -> None:
    room_id = await user_data.create_room(ALICE)

    response = await put(
        user_data, ALICE, room_id, content, event_type=event_type, query=query
    )

    assert (response.status, response.json["errcode"]) == expected
    assert await shown(user_data, ALICE, room_id) == []


async def test_it_takes_membership_and_power(user_data: UserDataServer) -> None:
    """MSC2477: 50 unless the room's power levels say something else."""
    room_id = await user_data.create_room(ALICE, BOB)

    async def levels(**content: object) -> None:
        draft = Draft("m.room.power_levels", ALICE, content, "")
        await user_data.rooms.append(room_id, [draft])

    async def answer(user_id: UserId, event_type: str = TYPE) -> int:
        sent = await put(user_data, user_id, room_id, {}, event_type=event_type)
        return sent.status

    assert await answer(MALLORY) == 403
    assert await answer(BOB) == 403
    assert await answer(ALICE) == 200
    await levels(ephemeral={TYPE: 0}, ephemeral_default="x")
    assert await answer(BOB) == 200
    assert await answer(BOB, "m.room.encrypted") == 403
    await levels(ephemeral_default=0)
    assert await answer(BOB, "m.room.encrypted") == 200
    await levels(ephemeral={"com.example.other": 1}, ephemeral_default=0)
    assert await answer(BOB, "com.example.other") == 403


async def test_memory_is_bounded(user_data: UserDataServer) -> None:
    """The oldest give way."""
    room_id = await user_data.create_room(ALICE)
    large = {"x": "x" * (CONTENT_BYTES_MAX - 100)}
    count = KEPT_BYTES_MAX // CONTENT_BYTES_MAX + 8

    ids = [
        (await put(user_data, ALICE, room_id, large, txn_id=str(number))).json
        for number in range(count)
    ]

    events = await shown(user_data, ALICE, room_id)
    assert count - 20 < len(events) < count
    assert events[-1]["event_id"] == ids[-1]["event_id"]


async def test_what_was_not_heard_is_forgotten(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE)
    await put(user_data, ALICE, room_id, {})

    user_data.journal.forget(user_data.journal.position)

    assert await shown(user_data, ALICE, room_id) == []
    await put(user_data, ALICE, room_id, {})
    assert len(await shown(user_data, ALICE, room_id)) == 1
