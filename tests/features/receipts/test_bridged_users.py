"""Receipts and read markers of bridged users, over HTTP: what they say beside, marks
that the room is unread, and the inbox (``com.beeper.inbox_state``).
"""

import pytest

from tests.features.receipts.showing import shown
from tests.features.user_data import ALICE, BOB, MALLORY, UserDataServer
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.receipts import EXTRA_BYTES_MAX

PUPPET = {"fi.mau.double_puppet_source": "mautrix-test"}


async def mark(
    server: UserDataServer, room_id: RoomId, **markers: object
) -> tuple[int, str | None]:
    """Status and error code of Alice's CS setReadMarker; ``_`` stands for a dot."""
    body = {key.replace("_", "."): value for key, value in markers.items()}
    body = {key.replace("fully.read", "fully_read"): body[key] for key in body}
    response = await server.client(ALICE).post(
        f"/v3/rooms/{room_id}/read_markers", body
    )
    return response.status, response.json.get("errcode")


async def inbox(
    server: UserDataServer, room_id: RoomId, body: object, owner: UserId = ALICE
) -> tuple[int, str | None]:
    """Status and error code of setting Alice's inbox state."""
    response = await server.client(ALICE).put(
        f"/unstable/com.beeper.inbox/user/{owner}/rooms/{room_id}/inbox_state", body
    )
    return response.status, response.json.get("errcode")


async def room_data(server: UserDataServer, room_id: RoomId) -> dict[str, object]:
    """Alice's account data of the room by type."""
    ctx = await server.context(ALICE)
    events = (await server.room_events("account_data", ctx)).get(room_id, [])
    return {event["type"]: event["content"] for event in events}


async def set_unread(server: UserDataServer, room_id: RoomId, *, unread: bool) -> None:
    """Alice marks the room."""
    path = f"/v3/user/{ALICE}/rooms/{room_id}/account_data/m.marked_unread"
    response = await server.client(ALICE).put(path, {"unread": unread})
    assert response.status == 200


async def test_a_receipt_says_what_the_bridge_says(user_data: UserDataServer) -> None:
    """Its time, too. From memory and from the database: the same."""
    room_id = await user_data.create_room(ALICE, BOB)
    event_id = await user_data.send(room_id, BOB)
    since = user_data.journal.position

    extra = {**PUPPET, "ts": 1_234, "thread_id": "main", "event_id": "$x"}
    assert await mark(
        user_data, room_id, m_read=event_id, com_beeper_read_extra=extra
    ) == (200, None)

    said = [{event_id: {"m.read": {ALICE: {**PUPPET, "ts": 1_234}}}}]
    assert await shown(user_data, BOB, room_id, since) == said
    user_data.journal.forget(user_data.journal.position)
    assert await shown(user_data, BOB, room_id, since) == said


async def test_each_marker_says_its_own(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    event_id = await user_data.send(room_id, BOB)

    await mark(
        user_data,
        room_id,
        m_fully_read=event_id,
        m_read_private=event_id,
        com_beeper_fully_read_extra={**PUPPET, "event_id": "$x", "ts": 5},
        com_beeper_read_private_extra={"a": 1},
        com_beeper_read_extra={"b": 1},
    )

    own = {ALICE: {"a": 1, "ts": user_data.clock.now_ms()}}
    assert await shown(user_data, ALICE, room_id) == [
        {event_id: {"m.read.private": own}}
    ]
    assert await room_data(user_data, room_id) == {
        "m.fully_read": {**PUPPET, "event_id": event_id, "ts": 5}
    }


@pytest.mark.parametrize(
    ("extra", "errcode"),
    [
        ([], "M_BAD_JSON"),
        ({"ts": "now"}, "M_BAD_JSON"),
        ({"ts": True}, "M_BAD_JSON"),
        ({"ts": -1}, "M_BAD_JSON"),
        ({"ts": 2**53}, "M_BAD_JSON"),
        ({"a": "x" * EXTRA_BYTES_MAX}, "M_INVALID_PARAM"),
    ],
)
async def test_malformed_extras_are_refused(
    user_data: UserDataServer, extra: object, errcode: str
) -> None:
    room_id = await user_data.create_room(ALICE)
    event_id = await user_data.send(room_id, ALICE)

    assert await mark(
        user_data, room_id, m_read=event_id, com_beeper_read_extra=extra
    ) == (400, errcode)
    assert await shown(user_data, ALICE, room_id) == []


async def test_a_bridge_that_marks_as_read_clears_the_mark(
    user_data: UserDataServer,
) -> None:
    """Even where no marker moves by it."""
    room_id = await user_data.create_room(ALICE)
    event_id = await user_data.send(room_id, ALICE)
    for _ in range(2):
        await set_unread(user_data, room_id, unread=True)

        await mark(user_data, room_id, m_read=event_id, com_beeper_read_extra=PUPPET)

        data = await room_data(user_data, room_id)
        assert data["m.marked_unread"] == {"unread": False}


async def test_other_clients_clear_it_themselves(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE)
    event_id = await user_data.send(room_id, ALICE)
    await set_unread(user_data, room_id, unread=True)

    await mark(user_data, room_id, m_read=event_id, m_fully_read=event_id)

    data = await room_data(user_data, room_id)
    assert data["m.marked_unread"] == {"unread": True}


@pytest.mark.parametrize("key", ["allow_backward", "com.beeper.allow_backward"])
async def test_the_read_marker_alone_may_move_backwards(
    user_data: UserDataServer, key: str
) -> None:
    room_id = await user_data.create_room(ALICE)
    first = await user_data.send(room_id, ALICE)
    second = await user_data.send(room_id, ALICE)
    alice = user_data.client(ALICE)
    path = f"/v3/rooms/{room_id}"
    await mark(user_data, room_id, m_read=second, m_fully_read=second)

    await mark(user_data, room_id, m_fully_read=first)
    data = await room_data(user_data, room_id)
    assert data["m.fully_read"] == {"event_id": second}
    body = {"m.fully_read": first, "m.read": first, key: True}
    assert (await alice.post(f"{path}/read_markers", body)).status == 200

    assert [list(each) for each in await shown(user_data, ALICE, room_id)] == [[second]]
    data = await room_data(user_data, room_id)
    assert data["m.fully_read"] == {"event_id": first}
    before = user_data.journal.position
    again = await alice.post(f"{path}/receipt/m.fully_read/{first}", {key: True})
    assert (again.status, user_data.journal.position) == (200, before)
    refused = await alice.post(f"{path}/receipt/m.read/{first}", {key: True})
    assert (refused.status, refused.json["errcode"]) == (400, "M_INVALID_PARAM")


async def test_the_inbox_state_sets_all_at_once(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    event_id = await user_data.send(room_id, BOB)
    now_ms = user_data.clock.now_ms()

    body = {
        "marked_unread": True,
        "done": {"at_delta": 5_000, "at_order": 17},
        "read_markers": {"m.fully_read": event_id, "m.read": event_id},
    }
    assert await inbox(user_data, room_id, body) == (200, None)

    assert await room_data(user_data, room_id) == {
        "m.fully_read": {"event_id": event_id},
        "m.marked_unread": {"unread": True, "ts": now_ms},
        "com.beeper.inbox.done": {
            "updated_ts": now_ms,
            "at_delta": 5_000,
            "at_order": 17,
        },
    }
    assert await shown(user_data, BOB, room_id) == [
        {event_id: {"m.read": {ALICE: {"ts": now_ms}}}}
    ]


async def test_read_markers_in_the_inbox_clear_the_mark(
    user_data: UserDataServer,
) -> None:
    room_id = await user_data.create_room(ALICE)
    event_id = await user_data.send(room_id, ALICE)
    await inbox(user_data, room_id, {"marked_unread": True})

    await inbox(user_data, room_id, {"read_markers": {"m.read": event_id}})
    await inbox(user_data, room_id, {})

    now_ms = user_data.clock.now_ms()
    assert await room_data(user_data, room_id) == {
        "m.marked_unread": {"unread": False, "ts": now_ms}
    }


async def test_an_inbox_is_its_owners(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE)
    elsewhere = await user_data.create_room(BOB)
    unread = {"marked_unread": True}

    assert await inbox(user_data, room_id, unread, MALLORY) == (403, "M_FORBIDDEN")
    assert await inbox(user_data, elsewhere, unread) == (403, "M_FORBIDDEN")
    assert await inbox(user_data, RoomId("x"), unread) == (400, "M_INVALID_PARAM")
    wrong = {"done": {"at_delta": "x"}}
    assert await inbox(user_data, room_id, wrong) == (400, "M_BAD_JSON")
    assert await room_data(user_data, room_id) == {}
