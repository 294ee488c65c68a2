"""Two processes and another server, which gets each event and EDU from one of them."""

import pytest
from prometheus_client import CollectorRegistry

from tests.fakes.slots import HeldSlots, SharedSlots
from tests.features.user_data import ALICE, SERVER, UserDataServer
from tests.infra.federation.outbound import Peer, body_of
from tests.processes.servers import Servers
from tremula.features.federation_transactions.outbound_events import OutboundEvents
from tremula.features.federation_transactions.pdu_reader import OutboxPdus
from tremula.features.receipts.federation import ReceiptSender
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.peers import Peers
from tremula.infra.federation.queue_metrics import QueueMetrics
from tremula.infra.federation.queues import Queues
from tremula.infra.federation.sending import Sender
from tremula.protocol.identifiers import EventId, RoomId, ServerName, UserId
from tremula.protocol.signing import SigningKey
from tremula.rooms.events import Draft
from tremula.rooms.staging import OwnServer

FAR = ServerName("far.test")
BOB = UserId("@bob:far.test")


class Sending:
    """What one process sends."""

    def __init__(self, server: UserDataServer, slots: HeldSlots) -> None:
        self.server = server
        self.slots = slots
        self.net = Peer()
        metrics = QueueMetrics.registered(CollectorRegistry())
        key = SigningKey.from_seed("ed25519:test", bytes(32))
        journal, clock = server.journal, server.clock
        sender = Sender(
            server.database,
            clock,
            FederationClient(Peers(SERVER), key, self.net),
            OutboxPdus(server.reader, server.reader.events, OwnServer(SERVER, key)),
            metrics,
            slots,
            lambda: journal.position,
        )
        self.queues = Queues(
            database=server.database,
            clock=clock,
            peers=Peers(SERVER),
            sender=sender,
            slots=slots,
            metrics=metrics,
        )
        self.events = OutboundEvents(own=SERVER, journal=journal, queues=self.queues)
        self.receipts = ReceiptSender(
            own=SERVER,
            journal=journal,
            reader=server.reader,
            queues=self.queues,
            clock=clock,
        )

    async def step(self) -> list[str]:
        """What the messages say, and of what kind the EDUs are, that are sent now."""
        await self.events.tell_noticed()
        await self.receipts.tell_noticed()
        await self.queues.take_up()
        await self.queues.send_due()
        bodies = [body_of(sent) for sent in self.net.sent]
        self.net.sent.clear()
        said = [pdu["content"]["body"] for body in bodies for pdu in body["pdus"]]
        return said + [edu["edu_type"] for body in bodies for edu in body["edus"]]


class Both:
    """Both processes; the first writes to rooms, the second sends."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.slots = SharedSlots()
        self.one, self.other = (
            Sending(each, self.slots.process()) for each in servers.both
        )
        self.slots.give(self.other.slots)

    async def room(self) -> RoomId:
        """A room of Alice and Bob."""
        writer = self.one.server
        room_id = await writer.create_room(ALICE)
        join = Draft("m.room.member", BOB, {"membership": "join"}, BOB)
        await writer.rooms.append(room_id, [join])
        return room_id

    async def say(self, room_id: RoomId, body: str) -> EventId:
        return await self.one.server.send(room_id, ALICE, body=body)

    async def step(self) -> tuple[list[str], list[str]]:
        """What each of them sends now that both have heard of everything."""
        await self.servers.heard()
        return await self.one.step(), await self.other.step()


@pytest.fixture
def both(servers: Servers) -> Both:
    return Both(servers)


@pytest.mark.parametrize("is_in_memory", [False, True])
async def test_the_holder_of_the_destination_sends_what_another_process_wrote(
    both: Both, is_in_memory: bool
) -> None:
    room_id = await both.room()
    if is_in_memory:
        await both.servers.heard()
        await both.other.server.reader.get_room(room_id)
    await both.say(room_id, "one")
    await both.say(room_id, "two")

    assert await both.step() == ([], ["one", "two"])
    assert await both.step() == ([], [])


async def test_who_takes_over_sends_the_rest(both: Both) -> None:
    room_id = await both.room()
    await both.say(room_id, "before")
    assert await both.step() == ([], ["before"])
    both.slots.crash(both.other.slots)
    await both.say(room_id, "meanwhile")
    assert await both.step() == ([], [])

    both.slots.give(both.one.slots, FAR)
    await both.say(room_id, "after")

    assert await both.step() == (["meanwhile", "after"], [])


async def test_receipts_are_told_by_one(both: Both) -> None:
    room_id = await both.room()
    event_id = await both.say(room_id, "read")
    await both.step()

    path = f"/v3/rooms/{room_id}/receipt/m.read/{event_id}"
    response = await both.one.server.client(ALICE).post(path, {})

    assert response.status == 200
    assert await both.step() == ([], ["m.receipt"])
