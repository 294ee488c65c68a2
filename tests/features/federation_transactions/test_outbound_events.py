"""Events are handed to the queues from the journal: all of them, after a crash too."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.conftest import DatabaseSource
from tests.infra.federation.outbound import Peer, body_of
from tests.rooms.federation.remote import BOB, CAROL, REMOTE, Remote
from tests.rooms.federation.servers import Engine, running_engine
from tremula.features.federation_transactions.outbound_events import OutboundEvents
from tremula.features.federation_transactions.pdu_reader import OutboxPdus
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.peers import Peers
from tremula.infra.federation.queue_metrics import QueueMetrics
from tremula.infra.federation.queues import Queues
from tremula.infra.federation.sending import Sender
from tremula.infra.slots import SingleProcessSlots
from tremula.protocol.identifiers import UserId
from tremula.protocol.received_events import receive_pdu
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.rooms.events import Draft

EVE = UserId("@eve:third")


class Sending:
    """A server that sends, until it crashes; then make another on the same engine."""

    def __init__(self, engine: Engine) -> None:
        self.net = Peer()
        metrics = QueueMetrics.registered(CollectorRegistry())
        peers = Peers(engine.name)
        pdus = OutboxPdus(engine.reader, engine.events, engine.own)
        client = FederationClient(peers, engine.own.key, self.net)
        slots = SingleProcessSlots()
        sender = Sender(
            engine.database,
            engine.clock,
            client,
            pdus,
            metrics,
            slots,
            lambda: engine.journal.position,
        )
        self.queues = Queues(
            database=engine.database,
            clock=engine.clock,
            peers=peers,
            sender=sender,
            slots=slots,
            metrics=metrics,
        )
        self.events = OutboundEvents(
            own=engine.name, journal=engine.journal, queues=self.queues
        )

    async def step(self) -> list[tuple[str, str]]:
        """What is sent now: ``(destination, body of a message or state key)``."""
        await self.events.tell_noticed()
        await self.queues.send_due()
        sent, self.net.sent = self.net.sent, []
        return [(each.destination, _name(pdu)) for each in sent for pdu in _pdus(each)]

    async def start(self) -> list[tuple[str, str]]:
        """What is sent on account of an earlier run."""
        await self.queues.load()
        return await self.step()


def _pdus(sent: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    pdus: list[dict[str, Any]] = body_of(sent)["pdus"]
    return pdus


def _name(pdu: dict[str, Any]) -> str:
    name: str = pdu["content"].get("body") or pdu["state_key"]
    return name


@pytest.fixture
async def engine(database_source: DatabaseSource) -> AsyncIterator[Engine]:
    async with running_engine("test", database_source) as engine:
        yield engine


@pytest.fixture
async def sending(engine: Engine) -> Sending:
    sending = Sending(engine)
    assert await sending.start() == []
    return sending


@pytest.fixture
async def remote(engine: Engine, sending: Sending) -> Remote:
    """A room of Alice's that Bob has joined from another server."""
    remote = Remote(engine, await engine.create("10", engine.user("alice")))
    assert (await remote.send(await remote.join(BOB))).reason is None
    assert await sending.step() == []
    return remote


async def say(remote: Remote, body: str) -> None:
    await remote.engine.send(remote.room_id, remote.alice, body)


async def test_what_our_users_send_is_sent(remote: Remote, sending: Sending) -> None:
    await say(remote, "one")
    await say(remote, "two")
    await remote.send(await remote.message())

    assert await sending.step() == [(REMOTE, "one"), (REMOTE, "two")]
    assert await sending.step() == []


async def test_a_crash_after_the_commit_loses_nothing(
    engine: Engine, remote: Remote, sending: Sending
) -> None:
    await say(remote, "sent")
    await sending.step()
    await say(remote, "lost?")
    await remote.send(await remote.join(CAROL))
    await say(remote, "lost, too?")

    assert await Sending(engine).start() == [(REMOTE, "lost?"), (REMOTE, "lost, too?")]
    assert await Sending(engine).start() == []


async def test_a_server_that_came_before_a_crash_gets_what_follows(
    engine: Engine, remote: Remote, sending: Sending
) -> None:
    await remote.send(await remote.member(BOB, BOB, "leave"))
    await sending.step()
    await say(remote, "alone")
    await sending.step()
    await remote.send(await remote.join(BOB))
    await say(remote, "together")

    again = Sending(engine)
    assert await again.start() == [(REMOTE, "together")]
    await say(remote, "still")

    assert await Sending(engine).start() == [(REMOTE, "still")]


@pytest.fixture
def third(engine: Engine, remote: Remote) -> Remote:
    """Another server, which is not in the room yet."""
    return Remote(engine, remote.room_id)


@pytest.mark.parametrize("has_crashed", [False, True])
async def test_a_server_gets_nothing_from_before_it_came(
    engine: Engine, remote: Remote, third: Remote, sending: Sending, has_crashed: bool
) -> None:
    await say(remote, "before")
    await third.send(await third.join(EVE))
    await say(remote, "after")

    sent = await (Sending(engine).start() if has_crashed else sending.step())

    assert sorted(sent) == [(REMOTE, "after"), (REMOTE, "before"), ("third", "after")]


@pytest.mark.parametrize("has_crashed", [False, True])
async def test_a_server_gets_all_from_before_it_went(
    engine: Engine, remote: Remote, sending: Sending, has_crashed: bool
) -> None:
    await say(remote, "before")
    await remote.send(await remote.member(BOB, BOB, "leave"))
    await say(remote, "after")

    sent = await (Sending(engine).start() if has_crashed else sending.step())

    assert sent == [(REMOTE, "before")]


async def test_who_is_kicked_gets_what_was_said_before_in_one_go(
    engine: Engine, remote: Remote, sending: Sending
) -> None:
    """The room is our own only when the first of the two events is announced."""
    kick = Draft("m.room.member", remote.alice, {"membership": "leave"}, BOB)
    said = Draft("m.room.message", remote.alice, {"body": "go"})

    await engine.rooms.append(remote.room_id, [said, kick])

    assert await sending.step() == [(REMOTE, "go"), (REMOTE, BOB)]


async def test_who_comes_goes_and_comes_again_gets_what_is_said_meanwhile(
    remote: Remote, third: Remote, sending: Sending
) -> None:
    for body in ("one", "two"):
        await third.send(await third.join(EVE))
        await say(remote, body)
        await third.send(await third.member(EVE, EVE, "leave"))
        await say(remote, f"not {body}")

    sent = await sending.step()

    assert [each for each in sent if each[0] == "third"] == [
        ("third", "one"),
        ("third", "two"),
    ]


async def test_an_event_of_a_handshake_is_passed_on(
    engine: Engine, remote: Remote, sending: Sending
) -> None:
    """To all but the server that it came from."""
    third = Remote(engine, remote.room_id)
    await third.send(await third.join(EVE))
    await sending.step()
    join = await remote.join(CAROL)

    received = receive_pdu(ROOM_VERSIONS["10"], join.pdu)
    await engine.rooms.receive(
        remote.room_id, [received], origin=REMOTE, is_relayed=True
    )

    assert await sending.step() == [("third", CAROL)]


async def test_what_is_said_among_our_own_users_is_not_kept_for_others(
    engine: Engine, remote: Remote
) -> None:
    room_id = await engine.create("10", remote.alice)
    await engine.send(room_id, remote.alice)

    view = await engine.view(room_id)
    rows = await engine.database.all(
        "SELECT * FROM federation_outbox WHERE room_nid = :nid", nid=view.nid
    )
    assert not rows
