"""Messages of processes of another release, side by side with this one."""

from dataclasses import dataclass, field

from msgspec import Raw

from tremula.infra.replication.agenda import Agenda
from tremula.infra.replication.messages import Announced, Message, Topics, Woken
from tremula.infra.replication.showing import Showing
from tremula.infra.replication.units import Announcement


@dataclass
class Journal:
    """Implements ``Teller``: what it was told, in order."""

    watermark: int = 0
    told: list[object] = field(default_factory=list)

    def observe(self, pos: int) -> None:
        self.told.append(f"{pos} is taken")

    def reach(self, floor: int) -> None:
        self.told.append(f"{floor} is reached")

    def tell(self, announcement: Announcement) -> None:
        self.told.append(announcement[2])

    def wake(self, woken: Woken) -> None:
        self.told.append(woken.user_ids)

    def forget(self, up_to: int) -> None:
        self.told.append(f"forget up to {up_to}")


def shown(*announced: Announced) -> list[object]:
    topics, agenda, journal = Topics(), Agenda(lambda: 0), Journal()
    topics.register("numbers", int)
    woken = [Woken(announced[-1].pos, ["@alice:one.test"], [])]
    message = Message(2, 1, 1, 99, {}, announced, woken)

    newest_pos = Showing(agenda, topics, journal).heard(message)
    agenda.do_due(newest_pos)

    return journal.told


def announced(topic: str, pos: int, payload: bytes) -> Announced:
    return Announced(topic, "key", pos, 1, Raw(payload))


def test_what_no_topic_here_is_about_is_passed_over() -> None:
    told = shown(
        announced("numbers", 3, b"\x07"),
        announced("of the next release", 4, b"\x01"),
        announced("numbers", 5, b"\x08"),
    )

    assert told == [7, 8, ["@alice:one.test"]]


def test_what_cannot_be_read_may_have_changed_everything_that_is_known() -> None:
    told = shown(
        announced("numbers", 3, b"\x07"),
        announced("numbers", 4, b"\xa1x"),
        announced("numbers", 5, b"\x08"),
    )

    assert told == [7, "forget up to 4", 8, ["@alice:one.test"]]
