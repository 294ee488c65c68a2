"""What users keep about rooms, told to two processes at the same time."""

import asyncio
from typing import Final

from tests.fakes.processes import Process, rest
from tests.features.user_data import ALICE, BOB
from tests.processes.servers import Servers
from tremula.features.account_data.service import FULLY_READ
from tremula.features.receipts.service import PUBLIC_TOPIC
from tremula.features.receipts.storage import StoredReceipt
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.rooms.memberships import Memberships
from tremula.rooms.outside import OutsideMembership, OutsideRooms

_ROUNDS: Final = 5


async def test_receipts_never_move_backwards(servers: Servers) -> None:
    one, other = servers.both
    room_id = await one.create_room(ALICE, BOB)
    nid = (await one.reader.get_room(room_id)).nid
    for _ in range(_ROUNDS):
        events = [await one.send(room_id, ALICE) for _ in range(2)]
        await servers.heard()
        since = other.journal.position
        path = f"/v3/rooms/{room_id}/read_markers"

        responses = await asyncio.gather(
            *(
                server.client(BOB).post(
                    path, {"m.read": event_id, FULLY_READ: event_id}
                )
                for server, event_id in zip(servers.both, events, strict=True)
            )
        )

        assert [each.status for each in responses] == [200, 200]
        await servers.heard()
        for server in servers.both:
            told = server.journal.tail(PUBLIC_TOPIC, nid, since) or []
            places = [r.room_pos for _, r in told if isinstance(r, StoredReceipt)]
            assert places == sorted(places)
            marker = await server.account_data.find_in_room(BOB, nid, FULLY_READ)
            assert marker == {"event_id": events[1]}


def _invitation(user_id: UserId, room_id: RoomId, event_id: str) -> OutsideMembership:
    client_json = (
        f'{{"event_id":"{event_id}","content":{{"membership":"invite"}},'
        f'"sender":"@far:far.test"}}'
    )
    return OutsideMembership(
        user_id, room_id, ROOM_VERSIONS["12"], client_json.encode(), b"{}", (), ()
    )


async def test_two_are_invited_to_a_room_that_becomes_known_by_it(
    processes: tuple[Process, Process],
) -> None:
    rooms = [
        OutsideRooms(
            each.database, each.journal, Memberships(each.database, each.journal)
        )
        for each in processes
    ]
    for number in range(_ROUNDS):
        room_id = RoomId(f"!room{number}:far.test")

        await asyncio.gather(
            rooms[0].record(_invitation(ALICE, room_id, f"$alice{number}")),
            rooms[1].record(_invitation(BOB, room_id, f"$bob{number}")),
        )

        await rest(*processes)
        for each in rooms:
            of_alice = await each.find(ALICE, room_id)
            of_bob = await each.find(BOB, room_id)
            assert of_alice is not None
            assert of_alice.event_id == EventId(f"$alice{number}")
            assert of_bob is not None
