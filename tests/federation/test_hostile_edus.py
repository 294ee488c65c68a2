"""EDUs about devices and keys that are not as they must be."""

from typing import Any

import pytest

from tests.conftest import DatabaseSource
from tests.features.rooms import create_room, send
from tests.federation.network import Federation
from tests.federation.remote import FAR, Remote, add_remote
from tests.federation.rooms import Inbox, RemoteRoom, bodies
from tests.federation.rooms import send as send_transaction
from tests.server import Server
from tremula.protocol.identifiers import RoomId

ALICE = "@alice:a.test"
BOB = "@bob:far.test"


@pytest.fixture
async def server(database_source: DatabaseSource, federation: Federation) -> Server:
    return await federation.start("a.test", database_source)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def remote(server: Server, federation: Federation, inbox: Inbox) -> Remote:
    remote = add_remote(federation, FAR)
    remote.answers["/v1/send/"] = inbox.answer
    return remote


DEVICE: dict[str, Any] = {
    "user_id": BOB,
    "device_id": "PHONE",
    "stream_id": 7,
    "prev_id": [6],
    "deleted": False,
    "device_display_name": "Phone",
    "keys": {
        "user_id": BOB,
        "device_id": "PHONE",
        "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
        "keys": {"ed25519:PHONE": "AAAA", "curve25519:PHONE": "BBBB"},
        "signatures": {BOB: {"ed25519:PHONE": "CCCC"}},
    },
}
CROSS_SIGNING: dict[str, Any] = {
    "user_id": BOB,
    "master_key": {
        "user_id": BOB,
        "usage": ["master"],
        "keys": {"ed25519:AAAA": "AAAA"},
    },
    "self_signing_key": {},
}
TO_DEVICE: dict[str, Any] = {
    "sender": BOB,
    "type": "m.room.encrypted",
    "message_id": "m1",
    "messages": {ALICE: {"*": {"body": "hi"}}},
}
GOOD = {
    "m.device_list_update": DEVICE,
    "m.signing_key_update": CROSS_SIGNING,
    "m.direct_to_device": TO_DEVICE,
}


ODD: list[Any] = [
    *(None, True, -1, 2**53, 2**63, 1.5),
    *("", "a\0b", "@alice:a.test", "x" * 20_000),
    *([], [None], ["x", 7], {}, {"": None}, {"x": {"y": []}}),
]


def malformed(good: dict[str, Any]) -> list[Any]:
    """*good* with something odd in each of its places, also within objects."""
    broken: list[Any] = list(ODD)
    for key, inner in good.items():
        broken += [{**good, key: value} for value in ODD]
        if isinstance(inner, dict):
            broken += [
                {**good, key: {**inner, name: value}} for name in inner for value in ODD
            ]
    return broken


@pytest.mark.parametrize("edu_type", GOOD)
async def test_cve_2025_61672_malformed_device_keys_wedge_nothing(
    server: Server, remote: Remote, inbox: Inbox, edu_type: str
) -> None:
    """Neither what comes with them, nor what is sent to their server afterwards."""
    alice = server.client(ALICE)
    room_id = await create_room(alice, preset="public_chat")
    room = RemoteRoom(server, remote, RoomId(room_id))
    await room.join(BOB)
    edus = [
        {"edu_type": edu_type, "content": content}
        for content in [GOOD[edu_type], *malformed(GOOD[edu_type])]
    ]

    for start in range(0, len(edus), 100):
        built = await room.build(BOB, "m.room.message", {"body": f"{start}"})
        answer = await send_transaction(
            server, remote, [await room.pdu(built)], edus[start : start + 100]
        )
        assert answer.json == {"pdus": {built.event.event_id: {}}}
    await send(alice, room_id, "still there")

    await inbox.until(lambda inbox: bodies(inbox) == ["still there"])
