"""Commands to the owner of a room, and what it answers, arrive as they were sent."""

import pytest

from tests.protocol.test_events import build, draft
from tremula.infra.cluster.messages import Wire
from tremula.protocol.errors import Forbidden
from tremula.protocol.events import pdu_json
from tremula.protocol.identifiers import DeviceId, EventId, ServerName, UserId
from tremula.protocol.received_events import ReceivedEvent, receive_pdu
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.rooms.adoption import AdoptRoom
from tremula.rooms.backfilling import FillGap
from tremula.rooms.completing import CompleteState
from tremula.rooms.events import Draft, TxnKey
from tremula.rooms.graph import Standing
from tremula.rooms.history_gaps import HistoryGap
from tremula.rooms.peers import PeerFailed
from tremula.rooms.receiving import Receipt, ReceiveEvents
from tremula.rooms.rooms import CALLS, AppendEvents, Command
from tremula.rooms.unsent import INVITATION_CALLS

ALICE = UserId("@alice:example.org")
OTHER = ServerName("other.org")
EVENT_ID = EventId("$event")


@pytest.fixture
def wire() -> Wire:
    return Wire(CALLS)


def received(version_id: str) -> ReceivedEvent:
    version = ROOM_VERSIONS[version_id]
    built = build(version, draft("m.room.topic", {"topic": "\0 ä"}, state_key=""))
    return receive_pdu(version, pdu_json(version, built.client_json, built.server_json))


def adoption(version_id: str) -> AdoptRoom:
    event = received(version_id)
    return AdoptRoom(ROOM_VERSIONS[version_id], (event,), (event,), event, (OTHER,))


@pytest.mark.parametrize(
    "command",
    [
        AppendEvents(
            (
                Draft("m.room.message", ALICE, {"body": "hi", "n": [2**53, None]}),
                Draft("m.room.name", ALICE, {}, "", txn=TxnKey(DeviceId("PHONE"), "1")),
            )
        ),
        CompleteState(OTHER),
        FillGap(HistoryGap(-3, (EVENT_ID,))),
        *(ReceiveEvents((received(version),), OTHER) for version in ROOM_VERSIONS),
        *(adoption(version) for version in ROOM_VERSIONS),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_command_arrives(wire: Wire, command: Command) -> None:
    assert wire.unpack_command(wire.pack_command(command)) == command


@pytest.mark.parametrize(
    "answer",
    [
        [EVENT_ID, EVENT_ID],
        {EVENT_ID: Receipt(Standing.SOFT_FAILED, "late"), EventId("$x"): Receipt(None)},
        EVENT_ID,
        True,
        False,
        None,
    ],
)
def test_an_answer_arrives(wire: Wire, answer: object) -> None:
    assert wire.result(wire.answered(answer)) == answer


def test_an_invitation_arrives() -> None:
    built = received("12").stored
    invitations = Wire(INVITATION_CALLS)

    assert invitations.result(invitations.answered(built)) == built


@pytest.mark.parametrize("error", [Forbidden("no power"), PeerFailed("is down")])
def test_a_refusal_arrives(wire: Wire, error: Exception) -> None:
    reply = wire.raised(error)

    assert reply is not None
    with pytest.raises(type(error), match=str(error)):
        wire.result(reply)
