"""What the last answer to a device was made of, as its next one mostly is."""

from collections import OrderedDict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from msgspec import Struct, field

from tremula.features.sync.parts import SyncContext
from tremula.features.sync.request import SyncRequest
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import DeviceId, RoomId, UserId
from tremula.rooms.room import EVENT_TOPIC

_DEVICES_MAX: Final = 20_000


class LastAnswer(Struct):
    """An answer after which nothing was left to tell: up to ``pos`` all of this is so,
    and longer for as long as the topics are silent that can change it.

    ``status`` is what `DeviceStatus` says, ``sent_members`` as of `SyncContext`. It
    ``had_messages`` to the device, whose receipt the next request proves.
    """

    pos: int
    joined_rooms: Mapping[int, RoomId]
    ignored_users: frozenset[UserId]
    status: bytes
    had_messages: bool = False
    sent_members: set[int] = field(default_factory=set[int])


class _Span(Struct, frozen=True):
    """What was told after ``since``, up to ``now``. ``only_events_in`` as of
    `SyncContext`.
    """

    since: int
    now: int
    heard: AbstractSet[str] | None
    only_events_in: AbstractSet[object] | None


_NOTHING_KNOWN: Final = _Span(-1, -1, None, None)


class LastAnswers:
    """The last answers of this process by device, of those that sync again and again.

    Of a device that comes back with the token of its last answer, one look here tells
    what otherwise many do. Nothing of it is asked anew while *topics*, those of all
    that an answer has beside events and messages to the device, are silent; of many who
    wait for the same event the first finds that out for all.
    """

    def __init__(self, journal: Journal, topics: AbstractSet[str]) -> None:
        self._journal = journal
        self._topics = topics
        self._answers: OrderedDict[tuple[UserId, DeviceId], LastAnswer] = OrderedDict()
        self._span = _NOTHING_KNOWN
        journal.on_forget(self._forget_all)

    def find(self, request: SyncRequest) -> LastAnswer | None:
        """The last answer to the device, if *request* asks for what comes after it."""
        since, device_id = request.since, request.device_id
        if since is None or device_id is None or request.full_state:
            return None
        last = self._answers.get((request.user_id, device_id))
        if last is None or last.pos != since.pos or since.device_pos is not None:
            return None
        return last

    def keep(self, ctx: SyncContext, status: bytes, *, had_messages: bool) -> None:
        """The answer to *ctx* is the device's last one, and nothing is left to tell."""
        if ctx.device_id is None:
            return
        place = (ctx.user_id, ctx.device_id)
        self._answers[place] = LastAnswer(
            ctx.now, ctx.joined_rooms, ctx.ignored_users, status, had_messages
        )
        self._answers.move_to_end(place)
        if len(self._answers) > _DEVICES_MAX:
            self._answers.popitem(last=False)

    def context(
        self, request: SyncRequest, since: int, last: LastAnswer
    ) -> SyncContext | None:
        """What an answer to *request* reaches up to now, if there is nothing but events
        and messages to devices after *since*, where *last* ends.
        """
        span = self._span_after(since)
        if span.only_events_in is None:
            return None
        return SyncContext(
            request.user_id,
            request.device_id,
            span.now,
            last.joined_rooms,
            last.ignored_users,
            request.filter,
            heard=span.heard,
            only_events_in=span.only_events_in,
            sent_members=last.sent_members,
        )

    def _span_after(self, since: int) -> _Span:
        journal, known = self._journal, self._span
        now = journal.position
        if known.since != since or known.now != now:
            heard, rooms = journal.heard(since), None
            if heard is not None and heard.isdisjoint(self._topics):
                rooms = journal.changed_keys(EVENT_TOPIC, since)
            known = self._span = _Span(since, now, heard, rooms)
        return known

    def _forget_all(self) -> None:
        self._answers.clear()
        self._span = _NOTHING_KNOWN
