"""Ephemeral events of any type, as application services are told of them."""

from urllib.parse import quote

from tests.features.appservice_transactions.awaiting import told
from tests.features.appservice_transactions.bridge import Bridge
from tests.features.appservice_transactions.conftest import bridge
from tests.features.rooms import create_room, join
from tests.server import Server
from tremula.features.appservice_ephemeral.buffer import (
    EVENTS_BYTES_MAX,
    Buffer,
    EventNews,
    News,
    TypingNews,
)
from tremula.protocol.identifiers import EventId, RoomId

__all__ = ["bridge"]

ALICE, GHOST = "@alice:test", "@_irc_ghost:test"
TYPE = "com.example.cursor"
ROOM = RoomId("!r:test")


async def test_they_are_told_as_clients_are_shown_them(
    server: Server, bridge: Bridge
) -> None:
    await server.add_appservice(bridge.registration(receive_ephemeral=True))
    alice = server.client(ALICE)
    room_id = await create_room(alice, preset="public_chat")
    await join(server.client(GHOST), room_id)
    elsewhere = await create_room(alice)
    for each in (elsewhere, room_id):
        path = f"/unstable/com.beeper.ephemeral/rooms/{quote(each)}/ephemeral/{TYPE}/t"
        sent = await alice.put(f"{path}?ts=5", {"x": 1})
        assert sent.status == 200

    edus = await told(bridge, "ephemeral", lambda edus: edus[0]["type"] == TYPE)

    assert edus == [
        {
            "type": TYPE,
            "sender": ALICE,
            "event_id": sent.json["event_id"],
            "room_id": room_id,
            "origin_server_ts": 5,
            "content": {"x": 1},
        }
    ]


def test_large_ones_are_told_one_after_the_other() -> None:
    buffer = Buffer()
    typing = TypingNews(1, ROOM)
    events = [
        EventNews(1, ROOM, EventId(f"${number}"), EVENTS_BYTES_MAX * 2 // 3)
        for number in range(2)
    ]
    everything: list[News] = [typing, *events]
    for news in everything:
        buffer.put(news)

    first = buffer.oldest(9)
    buffer.drop(first)

    assert first == [typing, events[0]]
    assert buffer.oldest(9) == [events[1]]
