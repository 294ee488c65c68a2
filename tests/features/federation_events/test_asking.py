"""Events of other servers that this one asked for: nothing of it is trusted."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.federation.network import Letter, Network
from tests.federation.remote import Refusal, Remote
from tremula.features.federation_events.asking import RemoteEvents
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.peers import Peers
from tremula.protocol.hashes import event_id_of
from tremula.protocol.identifiers import EventId, RoomId, ServerName
from tremula.protocol.room_versions import get_room_version
from tremula.protocol.server_keys import KeyNeed, KnownKeys, VerifyKey
from tremula.protocol.signing import SigningKey, sign_event
from tremula.rooms.peers import EventAt, PeerFailed, RoomAt, StateIds
from tremula.rooms.verification import EventVerifier

OWN, FAR = ServerName("own.test"), ServerName("far.test")
OWN_KEY = SigningKey.from_seed("ed25519:own", bytes([1]) * 32)
FAR_KEY = SigningKey.from_seed("ed25519:far", bytes([2]) * 32)
VERSION = get_room_version("11")
ROOM = RoomAt(RoomId("!room:far.test"), VERSION)
MISSING = "/_matrix/federation/v1/get_missing_events/%21room%3Afar.test"


class Keys:
    """Implements ``VerifyKeySource``."""

    async def verify_keys(self, needs: Collection[KeyNeed]) -> KnownKeys:
        return {(FAR, FAR_KEY.key_id): VerifyKey(FAR_KEY.public_key, 2**50)}


@dataclass(slots=True)
class Setting:
    """This server, and the one that it asks."""

    remote: Remote = field(default_factory=lambda: Remote(FAR, FAR_KEY))
    network: Network = field(default_factory=Network)

    def __post_init__(self) -> None:
        self.network.peers[FAR] = self.remote

    @property
    def events(self) -> RemoteEvents:
        client = FederationClient(Peers(OWN), OWN_KEY, self.network.line(OWN))
        return RemoteEvents(client, EventVerifier(Keys()))

    async def missing(self, limit: int = 10) -> list[EventId]:
        events = await self.events.get_missing_events(
            FAR, ROOM, earliest=[id_of(1)], latest=[id_of(5)], limit=limit
        )
        return [each.event.event_id for each in events]


@pytest.fixture
def setting() -> Setting:
    return Setting()


def pdu(number: int, **fields: object) -> dict[str, Any]:
    unsigned = {
        "auth_events": [],
        "content": {"body": str(number)},
        "depth": number,
        "origin_server_ts": 1,
        "prev_events": [],
        "room_id": ROOM.room_id,
        "sender": "@alice:far.test",
        "type": "m.room.message",
    }
    return sign_event(VERSION, unsigned | fields, FAR, FAR_KEY)


def id_of(number: int) -> EventId:
    return event_id_of(VERSION, pdu(number))


async def test_missing_events_are_asked_for_between_what_is_known(
    setting: Setting,
) -> None:
    setting.remote.answers["get_missing_events"] = {"events": [pdu(2), pdu(3)]}

    assert await setting.missing() == [id_of(2), id_of(3)]
    [letter] = setting.network.letters
    assert letter.path == MISSING
    assert letter.json == {
        "earliest_events": [id_of(1)],
        "latest_events": [id_of(5)],
        "limit": 10,
        "min_depth": 0,
    }


async def test_cve_2022_39200_unsigned_missing_events_are_left_out(
    setting: Setting,
) -> None:
    """Their signatures are checked like those of any other event."""
    unsigned = {**pdu(2), "signatures": {}}
    forged = {**pdu(2), "depth": 4}
    foreign = {**pdu(3), "sender": "@bob:b.test"}
    setting.remote.answers["get_missing_events"] = {
        "events": [unsigned, forged, foreign, pdu(4)]
    }

    assert await setting.missing() == [id_of(4)]


async def test_events_of_another_room_are_left_out(setting: Setting) -> None:
    other = pdu(2, room_id="!other:far.test")
    setting.remote.answers["get_missing_events"] = {"events": [other, pdu(3)]}

    assert await setting.missing() == [id_of(3)]


async def test_no_more_events_are_taken_than_were_asked_for(setting: Setting) -> None:
    setting.remote.answers["get_missing_events"] = {
        "events": [pdu(number) for number in range(2, 9)]
    }

    assert await setting.missing(limit=3) == [id_of(2), id_of(3), id_of(4)]


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"events": {}},
        {"events": "x"},
        Refusal(403, "M_FORBIDDEN"),
        Refusal(500, "M_UNKNOWN"),
    ],
)
async def test_what_is_no_answer_is_a_failure_of_the_peer(
    setting: Setting, answer: object
) -> None:
    setting.remote.answers["get_missing_events"] = answer

    with pytest.raises(PeerFailed):
        await setting.missing()


async def test_a_server_that_is_down_is_a_failure_of_the_peer(
    setting: Setting,
) -> None:
    setting.network.down.add(FAR)

    with pytest.raises(PeerFailed):
        await setting.missing()
    with pytest.raises(PeerFailed):
        await setting.events.event(FAR, ROOM, id_of(1))


async def test_backfilled_events_may_name_any_number_of_others(
    setting: Setting,
) -> None:
    """SS backfillRoom: it "MUST NOT be validated on these specific restrictions"."""
    crowded = pdu(2, prev_events=[id_of(n) for n in range(30)])
    setting.remote.answers["backfill"] = {"pdus": [pdu(3), crowded]}
    setting.remote.answers["get_missing_events"] = {"events": [crowded]}

    found = await setting.events.backfill(FAR, ROOM, latest=[id_of(3)], limit=50)

    assert [each.event.depth for each in found] == [3, 2]
    assert await setting.missing() == []
    [letter] = setting.network.asked(FAR, "backfill")
    assert letter.uri.partition("?")[2] == f"v=%24{id_of(3)[1:]}&limit=50"


async def test_an_event_is_the_one_that_was_asked_for(setting: Setting) -> None:
    setting.remote.answers["/event/"] = {"pdus": [pdu(1), pdu(2)]}

    found = await setting.events.event(FAR, ROOM, id_of(1))
    assert found is not None
    assert found.event.event_id == id_of(1)
    with pytest.raises(PeerFailed):
        await setting.events.event(FAR, ROOM, id_of(2))


@pytest.mark.parametrize("answer", [Refusal(404, "M_NOT_FOUND"), {"pdus": []}])
async def test_an_event_that_a_server_does_not_have_is_none(
    setting: Setting, answer: object
) -> None:
    setting.remote.answers["/event/"] = answer

    assert await setting.events.event(FAR, ROOM, id_of(1)) is None


async def test_states_and_auth_chains_are_asked_for(setting: Setting) -> None:
    answers = setting.remote.answers
    answers["/state_ids/"] = {"pdu_ids": [id_of(1)], "auth_chain_ids": [id_of(2)]}
    answers["/state/"] = {"pdus": [pdu(1)], "auth_chain": [pdu(2), {}]}
    answers["/event_auth/"] = {"auth_chain": [pdu(3)]}
    events, at = setting.events, id_of(9)

    assert await events.state_ids(FAR, ROOM, at) == StateIds([id_of(1)], [id_of(2)])
    state = await events.state(FAR, ROOM, at)
    assert {each.event.depth for each in state} == {1, 2}
    [auth] = await events.event_auth(FAR, ROOM, at)
    assert auth.event.depth == 3


async def test_a_state_of_what_are_no_event_ids_is_a_failure(setting: Setting) -> None:
    setting.remote.answers["/state_ids/"] = {"pdu_ids": ["x"], "auth_chain_ids": []}

    with pytest.raises(PeerFailed):
        await setting.events.state_ids(FAR, ROOM, id_of(9))


async def test_the_event_at_a_time_is_asked_for(setting: Setting) -> None:
    def at(letter: Letter) -> object:
        assert letter.uri.endswith("?ts=7&dir=b")
        return {"event_id": id_of(1), "origin_server_ts": 6}

    setting.remote.answers["timestamp_to_event"] = at

    found = await setting.events.timestamp_to_event(FAR, ROOM, 7, forwards=False)
    assert found == EventAt(id_of(1), 6)
    setting.remote.answers["timestamp_to_event"] = Refusal(404, "M_NOT_FOUND")
    assert (
        await setting.events.timestamp_to_event(FAR, ROOM, 7, forwards=False)
    ) is None


@pytest.mark.parametrize(
    "answer",
    [
        {"event_id": "$x", "origin_server_ts": 6},
        {"event_id": id_of(1), "origin_server_ts": True},
        Refusal(403, "M_FORBIDDEN"),
    ],
)
async def test_a_malformed_event_at_a_time_is_a_failure(
    setting: Setting, answer: object
) -> None:
    setting.remote.answers["timestamp_to_event"] = answer

    with pytest.raises(PeerFailed):
        await setting.events.timestamp_to_event(FAR, ROOM, 7, forwards=True)
