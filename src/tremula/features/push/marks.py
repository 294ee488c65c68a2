"""Marks: whom an event has notified.

Most users' rules come to the same in a room. So an event has one mark for all; one for
each key of rulesets by which something else follows; and one for each user who is named
in it, if something else follows for them on that account.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tremula.protocol.identifiers import UserId
from tremula.protocol.push_evaluation import PREDEFINED_KEY

TOPIC: Final = "push_marks"
"""Announced by room nid, with `EventMarks` as payload, at the event's position."""


class Mark(Struct, frozen=True):
    """What an event is to some users: to be added to what it is to more of them.

    So ``notifies`` and ``highlights`` are 1, 0 or -1. ``actions`` are what follows for
    those users, as JSON: `[]` if they are not notified.
    """

    notifies: int
    highlights: int
    actions: str


_NO_MARK: Final = Mark(0, 0, "[]")


class EventMarks(Struct, frozen=True, tag=True):
    """An event's marks: that of all with the key `PREDEFINED_KEY`, those by the keys of
    rulesets, and by user ID those of single users.
    """

    event_nid: int
    room_nid: int
    room_pos: int
    pos: int
    thread: str
    sender: UserId
    marks: Mapping[str, Mark]

    @property
    def of_all(self) -> Mark | None:
        """The mark of all but the sender; None if it is not the same for all."""
        return self.marks.get(PREDEFINED_KEY) if len(self.marks) == 1 else None

    def of_user(self, user_id: UserId, ruleset: str) -> tuple[int, int]:
        """What it adds to the unread notifications and highlights of a user in the
        room, whose rules have the key *ruleset*.
        """
        if user_id == self.sender:
            return 0, 0
        marks = self.marks
        of_all = marks.get(PREDEFINED_KEY, _NO_MARK)
        of_user = marks.get(user_id, _NO_MARK)
        of_rules = _NO_MARK
        if ruleset != PREDEFINED_KEY:
            of_rules = marks.get(ruleset, _NO_MARK)
        return (
            of_all.notifies + of_rules.notifies + of_user.notifies,
            of_all.highlights + of_rules.highlights + of_user.highlights,
        )

    def actions_for(self, user_id: UserId, ruleset: str) -> str | None:
        """The actions for such a user, as JSON; None if they are not notified."""
        if not self.of_user(user_id, ruleset)[0]:
            return None
        own = self.marks.get(user_id) or self.marks.get(ruleset)
        return (own or self.marks[PREDEFINED_KEY]).actions


class MarksGone(Struct, frozen=True, tag=True):
    """The marks of an event are no more: it was redacted. Announced as they are."""

    room_nid: int
    room_pos: int
