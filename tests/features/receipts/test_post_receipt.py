"""CS postReceipt, over HTTP, and what `/sync` shows of it."""

import asyncio

import orjson
import pytest

from tests.features.receipts.showing import shown
from tests.features.user_data import ALICE, BOB, MALLORY, UserDataServer
from tremula.features.receipts import storage
from tremula.features.receipts.sync import ReceiptsPart
from tremula.features.sync.parts import RoomRef
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.receipts import Receipt, ReceiptType


async def post(
    server: UserDataServer,
    user_id: UserId,
    room_id: RoomId,
    event_id: str,
    receipt_type: str = "m.read",
    **body: object,
) -> tuple[int, str | None]:
    """The status and error code of a receipt."""
    response = await server.client(user_id).post(
        f"/v3/rooms/{room_id}/receipt/{receipt_type}/{event_id}", body
    )
    return response.status, response.json.get("errcode")


async def test_a_newer_receipt_replaces_the_older_one(
    user_data: UserDataServer,
) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    first = await user_data.send(room_id, BOB)
    second = await user_data.send(room_id, BOB)

    for event_id in (first, second):
        assert await post(user_data, ALICE, room_id, event_id) == (200, None)

    receipt = {ALICE: {"ts": user_data.clock.now_ms()}}
    assert await shown(user_data, BOB, room_id) == [{second: {"m.read": receipt}}]


async def test_a_receipt_never_moves_backwards(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE)
    first = await user_data.send(room_id, ALICE)
    second = await user_data.send(room_id, ALICE)

    await asyncio.gather(
        post(user_data, ALICE, room_id, second), post(user_data, ALICE, room_id, first)
    )
    before = user_data.journal.position
    assert await post(user_data, ALICE, room_id, first) == (200, None)
    assert await post(user_data, ALICE, room_id, second) == (200, None)

    [content] = await shown(user_data, ALICE, room_id)
    assert list(content) == [second]
    assert user_data.journal.position == before


async def test_an_incremental_sync_has_what_came_since(
    user_data: UserDataServer,
) -> None:
    """From memory and, after a restart, from the database: the same."""
    room_id = await user_data.create_room(ALICE, BOB)
    quiet = await user_data.create_room(ALICE, BOB)
    event_id = await user_data.send(room_id, BOB)
    old = await user_data.send(quiet, BOB)
    await post(user_data, BOB, quiet, old)
    since = user_data.journal.position
    await post(user_data, ALICE, room_id, event_id)

    ctx = await user_data.context(BOB)
    recent = await user_data.room_events("receipts", ctx, since)
    restarted = ReceiptsPart(user_data.database, await Journal.open(user_data.database))
    user_data.room_parts["receipts"] = restarted

    assert list(recent) == [room_id]
    assert await user_data.room_events("receipts", ctx, since) == recent
    assert not await user_data.room_events("receipts", ctx, ctx.now)


async def test_a_private_receipt_is_for_its_owner_only(
    user_data: UserDataServer,
) -> None:
    """ "Servers MUST NOT send the m.read.private receipt to any other user"."""
    room_id = await user_data.create_room(ALICE, BOB)
    event_id = await user_data.send(room_id, BOB)
    since = user_data.journal.position

    await post(user_data, ALICE, room_id, event_id, "m.read.private")

    for start in (0, since):
        [content] = await shown(user_data, ALICE, room_id, start)
        assert list(content) == [event_id]
        assert not await shown(user_data, BOB, room_id, start)


async def test_receipts_are_kept_by_thread(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE)
    root = await user_data.send(room_id, ALICE)
    reply = await user_data.send(
        room_id, ALICE, **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
    )
    edit = await user_data.send(
        room_id,
        ALICE,
        **{"m.relates_to": {"rel_type": "m.replace", "event_id": reply}},
    )

    assert await post(user_data, ALICE, room_id, root, thread_id="main") == (200, None)
    for event_id in (root, reply, edit):
        sent = await post(user_data, ALICE, room_id, event_id, thread_id=root)
        assert sent == (200, None)
    assert await post(user_data, ALICE, room_id, edit) == (200, None)

    receipt = {"ts": user_data.clock.now_ms()}
    contents = await shown(user_data, ALICE, room_id)
    assert len(contents) == 3
    assert {root: {"m.read": {ALICE: {**receipt, "thread_id": "main"}}}} in contents
    assert {edit: {"m.read": {ALICE: {**receipt, "thread_id": root}}}} in contents
    assert {edit: {"m.read": {ALICE: receipt}}} in contents


async def test_an_event_of_another_thread_is_refused(
    user_data: UserDataServer,
) -> None:
    room_id = await user_data.create_room(ALICE)
    root = await user_data.send(room_id, ALICE)
    event_id = await user_data.send(room_id, ALICE)
    reply = await user_data.send(
        room_id, ALICE, **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
    )

    refused = (400, "M_INVALID_PARAM")
    assert await post(user_data, ALICE, room_id, event_id, thread_id=root) == refused
    assert await post(user_data, ALICE, room_id, reply, thread_id="main") == refused


async def test_what_relates_to_a_root_is_shown_with_its_thread(
    user_data: UserDataServer,
) -> None:
    """It is of the main timeline; a client that shows it in the thread may read there
    up to it.
    """
    room_id = await user_data.create_room(ALICE)
    root = await user_data.send(room_id, ALICE)
    quote = await user_data.send(
        room_id,
        ALICE,
        **{"m.relates_to": {"rel_type": "m.reference", "event_id": root}},
    )
    reaction = await user_data.send(
        room_id,
        ALICE,
        **{"m.relates_to": {"rel_type": "m.annotation", "event_id": quote, "key": "+"}},
    )

    for thread_id in (root, "main"):
        sent = await post(user_data, ALICE, room_id, reaction, thread_id=thread_id)
        assert sent == (200, None)


async def test_relations_in_a_circle_end(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE)
    event_id = await user_data.send(room_id, ALICE)
    for _ in range(5):
        event_id = await user_data.send(
            room_id,
            ALICE,
            **{"m.relates_to": {"rel_type": "m.reference", "event_id": event_id}},
        )

    sent = await post(user_data, ALICE, room_id, event_id, thread_id="main")
    assert sent == (200, None)


@pytest.mark.parametrize("thread_id", [7, "", None, ["main"]])
async def test_a_malformed_thread_id_is_refused(
    user_data: UserDataServer, thread_id: object
) -> None:
    room_id = await user_data.create_room(ALICE)
    event_id = await user_data.send(room_id, ALICE)

    sent = await post(user_data, ALICE, room_id, event_id, thread_id=thread_id)

    assert sent == (400, "M_INVALID_PARAM")


async def test_a_thread_is_no_use_to_the_fully_read_marker(
    user_data: UserDataServer,
) -> None:
    room_id = await user_data.create_room(ALICE)
    event_id = await user_data.send(room_id, ALICE)

    sent = await post(
        user_data, ALICE, room_id, event_id, "m.fully_read", thread_id="main"
    )

    assert sent == (400, "M_INVALID_PARAM")


async def test_an_unknown_type_is_refused(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE)
    event_id = await user_data.send(room_id, ALICE)

    sent = await post(user_data, ALICE, room_id, event_id, "m.written")

    assert sent == (400, "M_INVALID_PARAM")


async def test_an_event_of_another_room_is_not_found(
    user_data: UserDataServer,
) -> None:
    room_id = await user_data.create_room(ALICE)
    elsewhere = await user_data.send(await user_data.create_room(ALICE), ALICE)

    assert await post(user_data, ALICE, room_id, elsewhere) == (404, "M_NOT_FOUND")


async def test_a_user_outside_the_room_is_refused(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE)
    event_id = await user_data.send(room_id, ALICE)
    unknown = RoomId("!unknown:test")

    assert await post(user_data, MALLORY, room_id, event_id) == (403, "M_FORBIDDEN")
    assert await post(user_data, MALLORY, unknown, event_id) == (403, "M_FORBIDDEN")
    assert not await shown(user_data, ALICE, room_id)


async def test_receipts_of_ignored_users_are_not_shown(
    user_data: UserDataServer,
) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    event_id = await user_data.send(room_id, ALICE)
    await user_data.account_data.put(
        BOB, "m.ignored_user_list", {"ignored_users": {ALICE: {}}}
    )

    await post(user_data, ALICE, room_id, event_id)

    assert not await shown(user_data, BOB, room_id)


async def test_a_filter_can_leave_receipts_out(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE)
    await post(user_data, ALICE, room_id, await user_data.send(room_id, ALICE))

    for ephemeral in ({"not_types": ["m.receipt"]}, {"not_rooms": [room_id]}):
        ctx = await user_data.context(ALICE, {"room": {"ephemeral": ephemeral}})
        assert not await user_data.room_events("receipts", ctx)


async def test_a_receipt_wakes_the_room(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    event_id = await user_data.send(room_id, ALICE)
    waiting = asyncio.create_task(
        user_data.journal.wait(BOB, user_data.journal.position, 5)
    )
    await asyncio.sleep(0)

    await post(user_data, ALICE, room_id, event_id)

    assert await waiting


async def test_read_markers_move_all_three_markers(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE)
    event_id = await user_data.send(room_id, ALICE)

    response = await user_data.client(ALICE).post(
        f"/v3/rooms/{room_id}/read_markers",
        {"m.fully_read": event_id, "m.read": event_id, "m.read.private": event_id},
    )

    assert (response.status, response.json) == (200, {})
    [content] = await shown(user_data, ALICE, room_id)
    assert set(content[event_id]) == {"m.read", "m.read.private"}  # type: ignore[call-overload]
    ctx = await user_data.context(ALICE)
    assert await user_data.room_events("account_data", ctx) == {
        room_id: [{"type": "m.fully_read", "content": {"event_id": event_id}}]
    }


async def test_the_fully_read_marker_never_moves_backwards(
    user_data: UserDataServer,
) -> None:
    room_id = await user_data.create_room(ALICE)
    first = await user_data.send(room_id, ALICE)
    second = await user_data.send(room_id, ALICE)

    for event_id in (second, first):
        sent = await post(user_data, ALICE, room_id, event_id, "m.fully_read")
        assert sent == (200, None)

    response = await user_data.client(ALICE).get(
        f"/v3/user/{ALICE}/rooms/{room_id}/account_data/m.fully_read"
    )
    assert response.json == {"event_id": second}


async def test_read_markers_of_another_room_move_nothing(
    user_data: UserDataServer,
) -> None:
    """All or nothing: "The event MUST belong to the room"."""
    room_id = await user_data.create_room(ALICE)
    event_id = await user_data.send(room_id, ALICE)

    response = await user_data.client(ALICE).post(
        f"/v3/rooms/{room_id}/read_markers",
        {"m.read": event_id, "m.fully_read": EventId("$elsewhere")},
    )

    assert response.json["errcode"] == "M_NOT_FOUND"
    assert not await shown(user_data, ALICE, room_id)


async def test_a_sync_shows_the_newest_receipts_of_a_room_and_ones_own(
    user_data: UserDataServer,
) -> None:
    room_id = await user_data.create_room(ALICE)
    event_id = await user_data.send(room_id, ALICE)
    await post(user_data, ALICE, room_id, event_id)
    view = await user_data.reader.get_room(room_id)
    unit = user_data.journal.unit()
    for number in range(storage.SHOWN_MAX + 5):
        stored = storage.StoredReceipt(
            room_nid=view.nid,
            user_id=UserId(f"@user{number}:test"),
            receipt=Receipt(ReceiptType.READ, event_id),
            room_pos=1,
            ts_ms=0,
        )
        storage.upsert_receipt(unit, stored, pos=unit.pos())
    await user_data.journal.commit(unit)

    ctx = await user_data.context(ALICE)
    ref = RoomRef(view.nid, room_id)
    restarted = ReceiptsPart(user_data.database, await Journal.open(user_data.database))
    found = await restarted.room_events(ctx, [ref], 0)

    [event] = map(orjson.loads, found[view.nid])
    readers = event["content"][event_id]["m.read"]
    assert len(readers) == storage.SHOWN_MAX + 1
    assert ALICE in readers
    assert "@user4:test" not in readers
