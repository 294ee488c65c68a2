"""Marks: whom an event has notified, by the keys of rulesets.

Most users' rules come to the same in a room. So an event is marked once for each key,
and only who is named in it, and whose rules say something else on that account, has a
mark of their own.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tremula.protocol.identifiers import UserId

TOPIC: Final = "push_marks"
"""Announced by room nid, with `EventMarks` as payload, at the event's position."""


class Mark(Struct, frozen=True):
    """What an event is to the users of a key; ``notifies``, ``highlights``: 0 or 1.

    Of a single user they say what is to be added to those of the key: -1 to 1.
    ``actions`` are what follows for them, as JSON, `[]` if they are not notified.
    """

    notifies: int
    highlights: int
    actions: str


class EventMarks(Struct, frozen=True, tag=True):
    """An event's marks by key, and by user ID those of single users."""

    event_nid: int
    room_nid: int
    room_pos: int
    pos: int
    thread: str
    sender: UserId
    marks: Mapping[str, Mark]

    def of_user(self, user_id: UserId, ruleset: str) -> tuple[int, int]:
        """What it adds to the unread notifications and highlights of a user in the
        room, whose rules have the key *ruleset*.
        """
        if user_id == self.sender:
            return 0, 0
        shared, own = self.marks.get(ruleset), self.marks.get(user_id)
        notifies = highlights = 0
        for mark in (shared, own):
            if mark is not None:
                notifies += mark.notifies
                highlights += mark.highlights
        return notifies, highlights

    def actions_for(self, user_id: UserId, ruleset: str) -> str | None:
        """The actions for such a user, as JSON; None if they are not notified."""
        if not self.of_user(user_id, ruleset)[0]:
            return None
        mark = self.marks.get(user_id) or self.marks[ruleset]
        return mark.actions


class MarksGone(Struct, frozen=True, tag=True):
    """The marks of an event are no more: it was redacted. Announced as they are."""

    room_nid: int
    room_pos: int
