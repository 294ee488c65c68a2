"""This process's part in the one order: what it announces, and what it hears."""

import asyncio
import logging
from collections.abc import Callable, Collection

import msgspec

from tremula.infra.replication.agenda import Agenda
from tremula.infra.replication.messages import (
    AnyMessage,
    Bye,
    Hello,
    Message,
    Topics,
    Welcome,
    pack,
    unpack,
)
from tremula.infra.replication.order import LostMessage, StableOrder
from tremula.infra.replication.showing import Showing, Teller
from tremula.infra.replication.units import OwnUnit, Part, in_parts

_log = logging.getLogger(__name__)


class Replica:
    """Sends what is stored here, and tells the journal in order what all have stored.

    A unit is told of once every other process has it and nothing can come before it:
    a message and its answers later than on a server of one process. For whoever
    reads, all processes are one, of which each is a moment behind or ahead: what
    was acknowledged by one, every other has heard of.

    Whoever is not counted on any more goes on hearing, but shows nothing new.
    """

    def __init__(
        self,
        *,
        writer: int,
        incarnation: int,
        topics: Topics,
        send: Callable[[bytes], None],
        soon: Callable[[Callable[[], None]], object],
        agenda: Agenda,
        is_counted_on: Callable[[], bool],
    ) -> None:
        self._order = StableOrder()
        self._writer = writer
        self._incarnation = incarnation
        self._topics = topics
        self._send_bytes = send
        self._soon = soon
        self._incarnations: dict[int, int] = {}
        # Of each number, the last one that was dropped. Incarnations rise.
        self._gone: dict[int, int] = {}
        # Peers whose messages are of no use until they have welcomed us.
        self._lost: set[int] = set()
        self._agenda = agenda
        self._is_counted_on = is_counted_on
        self._outgoing: list[OwnUnit] = []
        self._floor = 0
        self._heard_pos = 0
        self._owes = False
        # Not before all others are counted in is the floor theirs, too.
        self._takes_part = False
        self._is_releasing = False
        self._showing: Showing | None = None
        self.hurry: Callable[[], None] = _nothing
        """Called when what is not stored yet holds back what another has stored."""

    @property
    def peers(self) -> Collection[int]:
        """The writers that are counted in, beside this one."""
        return self._order.peers

    def start(self, teller: Teller) -> None:
        """Tell *teller* from now on. Alone until others are welcomed."""
        self._showing = Showing(self._agenda, self._topics, teller)

    def hello(self) -> None:
        """Ask all who are there to count this one in."""
        self._send(Hello(self._writer, self._incarnation))

    def settle_in(self) -> None:
        """All who are there have welcomed us: take part. Once `settled`, the journal
        shows everything from before.
        """
        self._heard_pos = max(self._heard_pos, self._watermark)
        self._takes_part = True
        self._tell(is_urgent=True)
        self._release()

    def bye(self) -> None:
        """Go. Everything is announced."""
        self._send(Bye(self._writer, self._incarnation, self._order.number))

    def drop(self, writer: int, *, last_pos: int) -> None:
        """*writer* has crashed or is cut off, and can store nothing any more.

        What it stored last, up to *last_pos*, may never have been heard here.
        """
        if writer not in self._order.peers:
            return
        self._gone[writer] = self._incarnations[writer]
        self._count_out(writer)
        self._active.teller.observe(last_pos)
        self._active.teller.forget(last_pos)
        self._tell(is_urgent=True)
        self._release()

    def store(self, unit: OwnUnit) -> None:
        """Announce *unit*, with all others of this turn of the loop."""
        if not self._outgoing:
            self._soon(self.flush)
        self._outgoing.append(unit)
        self._active.own(unit)

    def flush(self) -> None:
        """Tell the others what was stored, and what they wait for."""
        if self._outgoing:
            # Of what announces nothing, too, others have to know that it is over.
            self._tell()
        self._release()

    def beat(self) -> None:
        """Say that we are there. To be called each second: it shows losses, too."""
        for writer in self._lost:
            self._ask(writer)
        self._tell()
        self._release()

    def is_settled(self, pos: int = 0) -> bool:
        """Whether `settled` would return at once."""
        return self._heard_pos <= self._floor and pos <= self._floor

    async def settled(self, pos: int = 0) -> None:
        """Return once all is told that has been heard of until now, and up to *pos*."""
        settling = self.settling(pos)
        if settling is not None:
            await settling

    def settling(self, pos: int = 0) -> asyncio.Future[bool] | None:
        """To be awaited, with whatever limit; None if it is so already."""
        if self.is_settled(pos):
            return None
        self._release()
        if self.is_settled(pos):
            return None
        return self._agenda.reached(max(self._heard_pos, pos))

    def receive(self, packed: bytes) -> None:
        """Take a message of another process. What cannot be read is dropped: then it
        is lost, as if it had not come.
        """
        try:
            message = unpack(packed)
        except msgspec.DecodeError:
            _log.exception("replication_message_unreadable")
            return
        if message.writer == self._writer or self._showing is None:
            return
        if message.incarnation <= self._gone.get(message.writer, 0):
            # It does not know yet, or this comes late.
            return
        if isinstance(message, Hello):
            self._welcome(message)
        elif isinstance(message, Welcome):
            self._welcomed(message)
        elif self._incarnations.get(message.writer) == message.incarnation:
            self._hear(message)

    def _welcome(self, hello: Hello) -> None:
        if hello.to not in (None, self._writer):
            return
        if self._incarnations.get(hello.writer) != hello.incarnation:
            if hello.writer in self._order.peers:
                # The one who had this number before has still to be dropped.
                return
            self._incarnations[hello.writer] = hello.incarnation
            self._order.join(hello.writer, heard=0, watermark=self._watermark)
        self._send(
            Welcome(
                self._writer,
                self._incarnation,
                hello.writer,
                self._order.number,
                self._watermark,
            )
        )

    def _welcomed(self, welcome: Welcome) -> None:
        if welcome.to != self._writer:
            return
        writer, teller = welcome.writer, self._active.teller
        if writer in self._order.peers and writer not in self._lost:
            return
        self._incarnations[writer] = welcome.incarnation
        self._order.join(writer, heard=welcome.number, watermark=welcome.watermark)
        teller.observe(welcome.watermark)
        if writer in self._lost:
            self._lost.discard(writer)
            teller.forget(welcome.watermark)
            self._tell(is_urgent=True)
        self._release()

    def _hear(self, message: Message | Bye) -> None:
        writer = message.writer
        if writer in self._lost:
            return
        if isinstance(message, Bye):
            if message.number == self._order.heard.get(writer):
                self._count_out(writer)
                self._release()
            return
        try:
            is_new = self._order.hear(
                writer, number=message.number, watermark=message.watermark
            )
        except LostMessage:
            self._lost.add(writer)
            self._ask(writer)
            return
        if is_new:
            self._take_in(message)

    def _take_in(self, message: Message) -> None:
        teller = self._active.teller
        teller.observe(message.watermark)
        self._order.acknowledge(message.writer, message.heard.get(self._writer, 0))
        newest_pos = self._active.heard(message)
        if newest_pos:
            self._heard_pos = max(self._heard_pos, newest_pos)
            teller.observe(self._heard_pos)
            if self._watermark < self._heard_pos:
                self.hurry()
        if message.is_urgent and not self._owes:
            self._owes = True
            self._soon(self._answer)
        self._release()

    def _answer(self) -> None:
        if self._owes:
            self._tell()
            self._release()

    def _ask(self, writer: int) -> None:
        self._send(Hello(self._writer, self._incarnation, to=writer))

    @property
    def _active(self) -> Showing:
        assert self._showing is not None, "start() comes first"
        return self._showing

    @property
    def _watermark(self) -> int:
        """Up to where nothing of ours is still to be told."""
        watermark = self._active.teller.watermark
        if self._outgoing:
            watermark = min(watermark, self._outgoing[0].first_pos - 1)
        return watermark

    def _count_out(self, writer: int) -> None:
        self._order.leave(writer)
        self._incarnations.pop(writer, None)
        self._lost.discard(writer)

    def _tell(self, *, is_urgent: bool = False) -> None:
        *parts, last = in_parts(self._outgoing, self._topics)
        # Units wait for their answer, whatever has been the reason to tell of them.
        is_urgent = is_urgent or bool(self._outgoing)
        self._outgoing.clear()
        self._owes = False
        for part in parts:
            self._say(part, is_urgent=False)
        self._say(last, is_urgent=is_urgent)

    def _say(self, part: Part, *, is_urgent: bool) -> None:
        watermark = part.watermark
        if watermark is None:
            watermark = self._active.teller.watermark
        self._send(
            Message(
                self._writer,
                self._incarnation,
                self._order.send(part.first_pos),
                watermark,
                self._order.heard,
                part.announced,
                part.woken,
                is_urgent,
            )
        )

    def _send(self, message: AnyMessage) -> None:
        self._send_bytes(pack(message))

    def _release(self) -> None:
        if self._is_releasing or not self._takes_part:
            # An action has written something: the loop below goes on.
            return
        self._is_releasing = True
        try:
            while self._advance() or self._agenda.do_due(self._floor):
                # What was done may have let the floor rise.
                continue
        finally:
            self._is_releasing = False
        self._agenda.passed(self._floor)

    def _advance(self) -> bool:
        floor = self._order.floor(self._watermark)
        # Who has come since the others dropped us did not wait for our welcome.
        if floor > self._floor and self._is_counted_on():
            self._floor = floor
            self._active.teller.reach(floor)
            return True
        return False


def _nothing() -> None:
    """Nobody has to know."""
