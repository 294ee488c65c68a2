"""What passes the first checks of events from other servers."""

from collections.abc import Collection
from typing import Any

import pytest

from tremula.protocol.hashes import event_id_of
from tremula.protocol.identifiers import RoomId, ServerName
from tremula.protocol.received_events import ReceivedEvent
from tremula.protocol.room_versions import get_room_version
from tremula.protocol.server_keys import KeyNeed, KnownKeys, VerifyKey
from tremula.protocol.signing import SigningKey, sign_event
from tremula.rooms.verification import EventVerifier, Refused

VERSION = get_room_version("11")
ORIGIN = ServerName("origin.org")
KEY = SigningKey.from_seed("ed25519:k1", bytes([7]) * 32)
ROOM = RoomId("!room:origin.org")


class Keys:
    """Implements ``VerifyKeySource``; one server's key."""

    def __init__(self) -> None:
        self.asked: list[Collection[KeyNeed]] = []

    async def verify_keys(self, needs: Collection[KeyNeed]) -> KnownKeys:
        self.asked.append(needs)
        return {(ORIGIN, KEY.key_id): VerifyKey(KEY.public_key, 2**50)}


def pdu(number: int, **fields: object) -> dict[str, Any]:
    return sign_event(
        VERSION,
        {
            "auth_events": [],
            "content": {"body": str(number)},
            "depth": number,
            "origin_server_ts": 1,
            "prev_events": [],
            "room_id": ROOM,
            "sender": f"@alice:{ORIGIN}",
            "type": "m.room.message",
            **fields,
        },
        ORIGIN,
        KEY,
    )


@pytest.fixture
def keys() -> Keys:
    return Keys()


async def test_keys_are_asked_for_once_for_all_events(keys: Keys) -> None:
    pdus = [pdu(number) for number in range(500)]

    verified = await EventVerifier(keys).verify(VERSION, pdus)

    assert [
        each.event.event_id for each in verified if isinstance(each, ReceivedEvent)
    ] == [event_id_of(VERSION, each) for each in pdus]
    assert len(keys.asked) == 1


@pytest.mark.parametrize("bad", [7, None, {}, {"type": "m.room.message"}])
async def test_what_is_no_event_is_refused_beside_one_that_is(
    keys: Keys, bad: object
) -> None:
    verified = await EventVerifier(keys).verify(VERSION, [bad, pdu(1)])

    assert isinstance(verified[0], Refused)
    assert isinstance(verified[1], ReceivedEvent)


async def test_an_event_with_a_wrong_signature_is_refused(keys: Keys) -> None:
    forged = {**pdu(1), "depth": 2}

    [verified, other] = await EventVerifier(keys).verify(VERSION, [forged, pdu(2)])

    assert isinstance(verified, Refused)
    assert "origin.org" in verified.reason
    assert isinstance(other, ReceivedEvent)


async def test_an_event_that_was_changed_is_taken_as_redacted(keys: Keys) -> None:
    changed = {**pdu(1), "content": {"body": "changed"}}

    [verified] = await EventVerifier(keys).verify(VERSION, [changed])

    assert isinstance(verified, ReceivedEvent)
    assert verified.is_redacted
    assert verified.event.content == {}


async def test_events_of_other_rooms_and_repeated_ones_are_left_out(keys: Keys) -> None:
    mine, foreign = pdu(1), pdu(2, room_id="!other:origin.org")

    events = await EventVerifier(keys).of_room(VERSION, ROOM, [mine, foreign, mine, 7])

    assert [each.event.depth for each in events] == [1]
