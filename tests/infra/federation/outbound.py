"""Queues with a network, a clock and events that a test makes."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from prometheus_client import CollectorRegistry

from tests.fakes.clock import FakeClock
from tests.fakes.federation import FakeTransport, Sent
from tests.fakes.slots import HeldSlots
from tremula.infra.db import Database, Statements
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.destination import Entry
from tremula.infra.federation.durable_edus import TOPIC, DurableEdus
from tremula.infra.federation.errors import PeerUnreachable
from tremula.infra.federation.outbox import Outbox
from tremula.infra.federation.peers import Peers
from tremula.infra.federation.queue_metrics import QueueMetrics
from tremula.infra.federation.queues import Queues
from tremula.infra.federation.sending import Sender
from tremula.infra.journal import Journal
from tremula.infra.slots import SingleProcessSlots, Slots
from tremula.protocol.identifiers import ServerName
from tremula.protocol.signing import generate

OWN = ServerName("own.test")
THEM = ServerName("them.test")
OTHERS = ServerName("others.test")
ROOM = 1


@dataclass(slots=True)
class FakePdus:
    """Events are their numbers; those in ``poison`` can't be read."""

    poison: set[int] = field(default_factory=set)

    async def pdus(self, event_nids: Sequence[int]) -> list[dict[str, Any]]:
        if self.poison & set(event_nids):
            raise ValueError("poison")
        return [{"n": nid} for nid in event_nids]


@dataclass(slots=True)
class Peer(FakeTransport):
    """A network that is down for some, and where some refuse certain events.

    ``refused`` are numbers of events and of EDUs.

    With ``answered_max`` the next ones get no answer: ``unanswered`` is set.
    """

    down: set[str] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    slow: dict[str, asyncio.Event] = field(default_factory=dict)
    at_once: int = 0
    at_once_max: int = 0
    awaited: int = 1
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    answered_max: int | None = None
    unanswered: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(
        self,
        destination: ServerName,
        method: str,
        uri: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
        bytes_max: int,
    ) -> tuple[int, bytes]:
        sent = Sent(
            destination=destination, method=method, uri=uri, headers=headers, body=body
        )
        self.sent.append(sent)
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        if self.at_once == self.awaited:
            self.reached.set()
        try:
            await self._answered()
            if destination in self.slow:
                await self.slow[destination].wait()
            if destination in self.down:
                raise PeerUnreachable("down")
            if self.refused and self.refused & {*numbers(sent), *edu_numbers(sent)}:
                return 400, b'{"errcode":"M_BAD_JSON","error":"?"}'
            return 200, b'{"pdus":{"$1":{"error":"because"},"$2":{}}}'
        finally:
            self.at_once -= 1

    async def _answered(self) -> None:
        if self.answered_max is None:
            return
        if not self.answered_max:
            self.unanswered.set()
            await asyncio.Event().wait()
        self.answered_max -= 1


def edu_numbers(sent: Sent) -> list[int]:
    return [edu["content"]["e"] for edu in body_of(sent)["edus"]]


def body_of(sent: Sent) -> dict[str, Any]:
    assert sent.body is not None
    body: dict[str, Any] = orjson.loads(sent.body)
    return body


def numbers(sent: Sent) -> list[int]:
    return [pdu["n"] for pdu in body_of(sent)["pdus"]]


@dataclass(slots=True)
class Outbound:
    """Queues with a network and a clock that the test moves."""

    database: Database
    clock: FakeClock = field(default_factory=FakeClock)
    net: Peer = field(default_factory=Peer)
    pdus: FakePdus = field(default_factory=FakePdus)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    peers: Peers = field(default_factory=lambda: Peers(OWN))
    position: int = 0
    slots: Slots = field(default_factory=SingleProcessSlots)
    queues: Queues = field(init=False)

    def __post_init__(self) -> None:
        self.queues = self.started()

    @property
    def held(self) -> HeldSlots:
        """Its slots, if it has a part of them."""
        assert isinstance(self.slots, HeldSlots)
        return self.slots

    def started(self) -> Queues:
        """The queues of a server that starts anew."""
        self.registry = CollectorRegistry()
        metrics = QueueMetrics.registered(self.registry)
        sender = Sender(
            self.database,
            self.clock,
            FederationClient(self.peers, generate(b"k" * 32), self.net),
            self.pdus,
            metrics,
            self.slots,
            lambda: self.position,
            jitter=lambda: 0.5,
        )
        self.queues = Queues(
            database=self.database,
            clock=self.clock,
            peers=self.peers,
            sender=sender,
            slots=self.slots,
            metrics=metrics,
        )
        return self.queues

    async def journal(self) -> Journal:
        """A journal that tells the queues of durable EDUs."""
        journal = await Journal.open(self.database)
        journal.subscribe(TOPIC, self.queues.durable_edu_stored)
        return journal

    async def add_durable(
        self,
        journal: Journal,
        *edus: int,
        to: ServerName = THEM,
        replacement_key: str | None = None,
    ) -> None:
        """Add EDUs that must arrive, which are numbers."""
        durable = DurableEdus(self.peers, self.clock)
        unit = journal.unit()
        for edu in edus:
            durable.add(unit, to, "m.x", {"e": edu}, replacement_key=replacement_key)
        await journal.commit(unit)

    async def join(
        self, *names: ServerName, pos: int = 0, room_nid: int = ROOM
    ) -> None:
        unit = Statements()
        outbox = Outbox(self.clock)
        outbox.servers_changed(unit, room_nid, come=names, gone=(), pos=pos)
        await self.database.commit(unit)

    async def leave(self, name: ServerName, *, pos: int) -> None:
        unit = Statements()
        outbox = Outbox(self.clock)
        outbox.servers_changed(unit, ROOM, come=(), gone=[name], pos=pos)
        await self.database.commit(unit)

    async def add(
        self,
        *positions: int,
        to: Collection[ServerName] = (THEM,),
        room_nid: int = ROOM,
    ) -> None:
        await self.store(*positions, room_nid=room_nid)
        for pos in positions:
            self.queues.send_event(Entry(pos, pos), to)

    async def store(self, *positions: int, room_nid: int = ROOM) -> None:
        """Add to the outbox what is not told of."""
        unit = Statements()
        for pos in positions:
            Outbox(self.clock).add(unit, Entry(pos, pos), room_nid=room_nid)
        await self.database.commit(unit)
        self.position = positions[-1]

    def sent_to(self, name: ServerName) -> list[list[int]]:
        """The events of each transaction to *name*; forgets them."""
        found = [numbers(sent) for sent in self.net.sent if sent.destination == name]
        self.net.sent = [sent for sent in self.net.sent if sent.destination != name]
        return found

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"tremula_federation_{name}", labels) or 0
