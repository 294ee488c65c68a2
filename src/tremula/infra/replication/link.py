"""Brings a replica's messages over the bus, and sees who comes and goes."""

import asyncio
from collections.abc import Collection
from typing import Final, Protocol

import structlog

from tremula.infra.bus import Bus, BusError
from tremula.infra.replication.replica import Replica

log = structlog.get_logger(__name__)

BEAT_S: Final = 1.0
"""How often a process says that it is there, so that others notice what they missed."""
_JOURNAL: Final = "journal"
_PATIENCE_S: Final = 0.2


class Writers(Protocol):
    """Knows the processes of this server, as the database has them."""

    def writers(self) -> Collection[int]:
        """The numbers of those that may write, this one among them."""
        ...

    async def is_there(self, writer: int) -> bool:
        """Whether *writer* may write now: for one too new, or too old, to be seen."""
        ...

    async def last_pos(self, writer: int) -> int:
        """A position above all that *writer*, who is gone, can have taken."""
        ...


class ReplicationLink:
    """What a replica sends goes to all, in order; what cannot go is lost, and the
    others see that by the numbers.
    """

    def __init__(self, bus: Bus, subject: str, writers: Writers) -> None:
        self._bus = bus
        self._subject = f"{subject}.{_JOURNAL}"
        self._writers = writers
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        # Those of the peers that the database was seen to have.
        self._known: set[int] = set()
        self._hurry = asyncio.Event()

    def send(self, packed: bytes) -> None:
        """Have *packed* sent after what was handed over before."""
        self._outgoing.put_nowait(packed)

    async def carry(self) -> None:
        """Send what there is to send; has to run all the time."""
        while True:
            packed = await self._outgoing.get()
            try:
                await self._bus.publish(self._subject, packed)
            except BusError as error:
                log.info("replication_message_lost", reason=str(error))
            finally:
                self._outgoing.task_done()

    async def join(self, replica: Replica, own: int) -> None:
        """Take part: returns once all others have counted this process in, and the
        journal shows everything from before.
        """
        await self._bus.subscribe(self._subject, replica.receive)
        while not set(self._writers.writers()) - {own} <= set(replica.peers):
            replica.hello()
            await asyncio.sleep(_PATIENCE_S)
        replica.settle_in()
        while not await self._is_settled(replica):
            # What was asked, or answered, may be lost.
            replica.beat()

    async def leave(self, replica: Replica) -> None:
        """Go, once nothing is under way: the others need not wait for the lease's end,
        nor forget anything. `carry` must run meanwhile.
        """
        replica.bye()
        await self._outgoing.join()

    async def watch(self, replica: Replica) -> None:
        """Beat, and count out who is gone; has to run all the time."""
        while True:
            self._hurry.clear()
            await self.look(replica)
            try:
                async with asyncio.timeout(BEAT_S):
                    await self._hurry.wait()
            except TimeoutError:
                # It is time for the next one.
                continue

    def hurry(self) -> None:
        """Look now: processes have come or gone."""
        self._hurry.set()

    async def look(self, replica: Replica) -> None:
        """Beat once, and count out who is gone by now.

        Who said hello may be newer than what was last seen of the database, or was
        gone by then: of those the database is asked.
        """
        peers, writers = set(replica.peers), set(self._writers.writers())
        known, self._known = self._known, peers & writers
        for writer in peers - writers:
            if writer not in known and await self._writers.is_there(writer):
                continue
            log.warning("replication_writer_gone", writer=writer)
            last_pos = await self._writers.last_pos(writer)
            replica.drop(writer, last_pos=last_pos)
        replica.beat()

    async def _is_settled(self, replica: Replica) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await replica.settled()
        except TimeoutError:
            return False
        return True
