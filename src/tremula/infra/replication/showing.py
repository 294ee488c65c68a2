"""What is done when the order has reached a unit: one's own, or another's."""

from functools import partial
from typing import Protocol

import msgspec
import structlog
from msgspec import Struct

from tremula.infra.replication.agenda import Agenda
from tremula.infra.replication.messages import Message, Topics, Woken
from tremula.infra.replication.units import Announcement, OwnUnit

log = structlog.get_logger(__name__)


class Teller(Protocol):
    """The journal, which shows what the order has reached."""

    @property
    def watermark(self) -> int:
        """No unit of ours, now or later, has a position up to here."""
        ...

    def observe(self, pos: int) -> None:
        """Take only positions above *pos* from now on."""
        ...

    def reach(self, floor: int) -> None:
        """All up to *floor* is committed; it is told next."""
        ...

    def tell(self, announcement: Announcement) -> None:
        """Remember it, and call its subscribers."""
        ...

    def wake(self, woken: Woken) -> None:
        """Wake those of them who wait here."""
        ...

    def forget(self, up_to: int) -> None:
        """Something was announced up to there that is not known here: know nothing."""
        ...


class Showing(Struct, frozen=True):
    """Puts on the agenda what *teller* is to show."""

    agenda: Agenda
    topics: Topics
    teller: Teller

    def own(self, unit: OwnUnit) -> None:
        """*unit* is shown at its positions."""
        if unit.first_pos == unit.last_pos:
            # As a rule.
            self.agenda.add(unit.first_pos, partial(self._show, unit))
            return
        self.agenda.add(unit.first_pos, unit.done)
        for announcement in unit.announced:
            tell = partial(self.teller.tell, announcement)
            self.agenda.add(announcement[3], tell)
        self.agenda.add(unit.last_pos, unit.shown)

    def heard(self, message: Message) -> int:
        """What *message* tells is shown at its positions; the newest of them, or 0."""
        newest_pos = 0
        for each in message.announced:
            # They are in order.
            newest_pos = each.pos
            if not self.topics.has(each.topic):
                # Of a newer release: nobody listens to it here.
                continue
            try:
                payload = self.topics.unpack(each.topic, each.payload)
            except msgspec.DecodeError:
                log.exception("replication_unreadable", topic=each.topic)
                self.agenda.add(each.pos, partial(self.teller.forget, each.pos))
                continue
            told = (each.topic, each.key, payload, each.pos, each.size_bytes)
            self.agenda.add(each.pos, partial(self.teller.tell, told))
        for woken in message.woken:
            newest_pos = max(newest_pos, woken.pos)
            self.agenda.add(woken.pos, partial(self.teller.wake, woken))
        return newest_pos

    def _show(self, unit: OwnUnit) -> None:
        unit.done()
        for announcement in unit.announced:
            self.teller.tell(announcement)
        unit.shown()
