"""What has notified a user: event by event, from memory or by the stored marks."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, Protocol

import orjson
from msgspec import Struct

from tremula.features.push import storage
from tremula.features.push.marks import TOPIC as MARKS_TOPIC
from tremula.features.push.marks import EventMarks
from tremula.features.push.storage import ListedMark, Wanted
from tremula.features.push.user_rules import Span, UserRules
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import UserId
from tremula.protocol.push_evaluation import PREDEFINED_KEY
from tremula.rooms.memberships import Memberships
from tremula.rooms.outside import NO_POS
from tremula.rooms.reader import RoomReader
from tremula.rooms.storage import UserRoom

_EVER: Final = 2**62
# Of which one may lack its other parts: there are up to three marks an event.
_MARKS_PER_EVENT: Final = 3


class RulesOfUsers(Protocol):
    """`PushRules`, which is above this module."""

    async def of(self, user_id: UserId) -> UserRules:
        """The user's rules."""
        ...


class Notified(Struct, frozen=True):
    """That an event notified a user, and what followed by the rule's *actions*.

    ``pos`` is the journal position of the event's arrival.
    """

    event_nid: int
    room_nid: int
    room_pos: int
    pos: int
    thread: str
    is_highlight: bool
    actions: Sequence[Any]

    @property
    def is_outside(self) -> bool:
        """Whether it is an invitation to a room that this server is not in."""
        return self.room_pos == NO_POS


class Page(Struct, frozen=True):
    """A part of what notified a user, newest first. What is older has positions below
    ``rest_pos``, unless that is None.
    """

    notified: Sequence[Notified]
    rest_pos: int | None


class NotifiedEvents(Struct, frozen=True):
    """Lists, for the rooms that the user is in or invited to, what notified them since
    they have been that. Events of their own never do.
    """

    db: Reader
    journal: Journal
    rules: RulesOfUsers
    memberships: Memberships
    reader: RoomReader

    async def newest_after(
        self, user_id: UserId, pos: int, *, up_to: int, limit: int
    ) -> list[Notified]:
        """The newest *limit* that came after *pos*, oldest first. No query for what the
        journal's tail still has.
        """
        rules = await self.rules.of(user_id)
        rooms = await self._rooms(user_id)
        found = self._remembered(user_id, rules, rooms, pos=pos, up_to=up_to)
        if found is None:
            rooms = await self._changed(rooms, pos)
            wanted = [
                Wanted(nid, ruleset, room_pos, max(after, pos), min(until, up_to))
                for nid, room in rooms.items()
                for room_pos in [await self._place_at(room, pos)]
                for ruleset, after, until in _keys(user_id, rules, room)
                if until > pos
            ]
            found = list((await self._stored(user_id, wanted, limit=limit)).notified)
        found.sort(key=_pos_of)
        return found[-limit:]

    async def page_before(
        self, user_id: UserId, pos: int, *, only_highlights: bool, limit: int
    ) -> Page:
        """At most *limit* that came before *pos*, newest first."""
        rules = await self.rules.of(user_id)
        wanted = [
            Wanted(nid, ruleset, -_EVER, after, min(until, pos - 1))
            for nid, room in (await self._rooms(user_id)).items()
            for ruleset, after, until in _keys(user_id, rules, room)
        ]
        return await self._stored(
            user_id, wanted, only_highlights=only_highlights, limit=limit
        )

    async def _rooms(self, user_id: UserId) -> Mapping[int, UserRoom]:
        rooms = await self.memberships.of_user(user_id)
        return {
            nid: room
            for nid, room in rooms.items()
            if room.membership in {"join", "invite"}
        }

    def _remembered(
        self,
        user_id: UserId,
        rules: UserRules,
        rooms: Mapping[int, UserRoom],
        *,
        pos: int,
        up_to: int,
    ) -> list[Notified] | None:
        """What the journal's tail has; None if that does not reach back to *pos*."""
        nids = self.journal.changed_keys(MARKS_TOPIC, pos)
        if nids is None:
            return None
        found: list[Notified] = []
        for nid in rooms.keys() & nids:
            tail = self.journal.tail(MARKS_TOPIC, nid, pos)
            if tail is None:
                return None
            spans = rules.spans_in(rooms[nid].room_id)
            for at, marks in tail:
                if isinstance(marks, EventMarks) and (
                    rooms[nid].began_pos <= at <= up_to
                ):
                    found += _of_marks(user_id, spans, marks)
        return found

    async def _changed(
        self, rooms: Mapping[int, UserRoom], pos: int
    ) -> Mapping[int, UserRoom]:
        newest = await self.reader.newest_nids(rooms)
        return {
            nid: room
            for nid, room in rooms.items()
            if max(newest.get(nid, 0), room.event_nid) > pos
        }

    async def _place_at(self, room: UserRoom, pos: int) -> int:
        if room.room_pos == NO_POS:
            return NO_POS - 1
        return await self.reader.room_pos_at(room.room_nid, pos)

    async def _stored(
        self,
        user_id: UserId,
        wanted: Sequence[Wanted],
        *,
        only_highlights: bool = False,
        limit: int,
    ) -> Page:
        marks_max = _MARKS_PER_EVENT * limit + 1
        marks = await storage.newest_marks(
            self.db,
            user_id,
            wanted,
            only_highlights=only_highlights,
            limit=marks_max,
        )
        events = [list(each) for _, each in groupby(marks, key=_pos_of)]
        is_cut = len(events) > limit or len(marks) == marks_max
        events = events[:limit]
        found = [
            notified
            for each in events
            if (notified := _of_listed(user_id, each, only_highlights=only_highlights))
        ]
        return Page(found, events[-1][0].pos if is_cut else None)


def _keys(
    user_id: UserId, rules: UserRules, room: UserRoom
) -> Iterable[tuple[str, int, int]]:
    """Which marks of a room are the user's: key, after which position, up to which."""
    # What made them a member, or invited them, came at that very position.
    began_pos = room.began_pos - 1
    yield PREDEFINED_KEY, began_pos, _EVER
    yield user_id, began_pos, _EVER
    for span in rules.spans_in(room.room_id):
        if span.ruleset != PREDEFINED_KEY and span.until_pos > began_pos:
            yield span.ruleset, max(span.after_pos, began_pos), span.until_pos


def _of_marks(
    user_id: UserId, spans: Sequence[Span], marks: EventMarks
) -> Iterable[Notified]:
    for span in spans:
        if span.after_pos < marks.pos <= span.until_pos:
            actions = marks.actions_for(user_id, span.ruleset)
            if actions is not None:
                _, highlights = marks.of_user(user_id, span.ruleset)
                yield Notified(
                    marks.event_nid,
                    marks.room_nid,
                    marks.room_pos,
                    marks.pos,
                    marks.thread,
                    highlights > 0,
                    orjson.loads(actions),
                )


def _of_listed(
    user_id: UserId, marks: Sequence[ListedMark], *, only_highlights: bool
) -> Notified | None:
    """What the marks of one event come to; the user's own counts for the actions."""
    is_highlight = sum(mark.highlights for mark in marks) > 0
    # Of highlights alone a mark may be left out that says that they notify.
    if not (is_highlight or sum(mark.notifies for mark in marks) > 0):
        return None
    if only_highlights and not is_highlight:
        return None
    own = next((each for each in marks if each.ruleset == user_id), None)
    by_key = next((each for each in marks if each.ruleset != PREDEFINED_KEY), None)
    mark = own or by_key or marks[0]
    return Notified(
        mark.event_nid,
        mark.room_nid,
        mark.room_pos,
        mark.pos,
        mark.thread,
        is_highlight,
        orjson.loads(mark.actions),
    )


def _pos_of(value: Notified | ListedMark) -> int:
    return value.pos
