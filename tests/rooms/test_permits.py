"""What a room's state is known to allow is asked again when the state changes."""

from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, join, member, send, set_state
from tests.http_client import Client
from tests.server import Server
from tremula.protocol.events import Event
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.rooms.events import Draft
from tremula.rooms.permits import Permits

ALICE = "@alice:test"
BOB = "@bob:test"


async def _try_to_send(client: Client, room_id: str, event_type: str) -> int:
    path = f"/v3/rooms/{quote(room_id)}/send/{event_type}/once"
    return (await client.put(path, {"body": "no", "msgtype": "m.text"})).status


async def test_whose_level_is_raised_above_theirs_can_send_no_more(
    server: Server,
) -> None:
    """Bob has sent messages already: the new power levels count all the same."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    await send(bob, room_id)

    levels = {"events": {"m.room.message": 50}}
    assert (
        await set_state(alice, room_id, "m.room.power_levels", levels)
    ).status == 200

    assert await _try_to_send(bob, room_id, "m.room.message") == 403
    assert await _try_to_send(bob, room_id, "m.sticker") == 200


async def test_who_was_kicked_can_send_no_more(server: Server) -> None:
    """However often they have before."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    await send(bob, room_id)

    assert (await member(alice, room_id, "kick", BOB)).status == 200

    assert await _try_to_send(bob, room_id, "m.room.message") == 403


@pytest.mark.parametrize(
    ("event_type", "state_key", "is_noted"),
    [
        ("m.room.message", None, True),
        ("m.room.message", "", False),
        ("m.room.redaction", None, False),
        ("m.room.power_levels", None, False),
        ("m.room.member", None, False),
    ],
)
def test_what_a_rule_reads_more_of_is_asked_each_time(
    event_type: str, state_key: str | None, *, is_noted: bool
) -> None:
    """Messages alike in sender and type are allowed alike; others are not."""
    permits = Permits()
    permits.note(_event(event_type, state_key))

    found = permits.find(Draft(event_type, UserId(BOB), {}, state_key=state_key))

    assert found == (("$create",) if is_noted else None)


def test_one_senders_permit_is_no_other_ones() -> None:
    """Nor one for another type."""
    permits = Permits()
    permits.note(_event("m.room.message", None))

    assert permits.find(Draft("m.room.message", UserId(ALICE), {})) is None
    assert permits.find(Draft("m.sticker", UserId(BOB), {})) is None


def _event(event_type: str, state_key: str | None) -> Event:
    return Event(
        event_id=EventId("$event"),
        room_id=RoomId("!room:test"),
        type=event_type,
        sender=UserId(BOB),
        state_key=state_key,
        content={},
        origin_server_ts=1,
        depth=1,
        prev_events=(),
        auth_events=(EventId("$create"),),
        redacts=None,
    )
