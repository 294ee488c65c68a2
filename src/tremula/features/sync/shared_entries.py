"""Room entries that are the same for many users who wait for the same message.

A message in a room of which N users wait is shown to each of them in the same bytes:
it is read, filtered and encoded once.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from msgspec import Struct

from tremula.features.sync.lazy_members import DeviceRoom, LazyMembers
from tremula.features.sync.parts import SyncContext
from tremula.features.sync.request import StateForm
from tremula.features.sync.timeline import Timeline
from tremula.protocol.filters import Filter
from tremula.protocol.room_state import member_key
from tremula.rooms.view import RoomView

_ENTRIES_MAX: Final = 256
# Of the members that are known to be sent to a device.
_SENT_MAX: Final = 50

# Since, now, the filter's identity and the form of the state.
_Moment = tuple[int, int, int, StateForm]


class _Shared(Struct, frozen=True):
    entry: bytes
    # The place of its first event.
    start_pos: int
    # Their own devices may be shown a transaction id.
    senders: AbstractSet[str]
    # The senders' member events, which the reader must know already.
    members: Mapping[str, int]
    member_nids: frozenset[int]
    # Kept so that its identity stays its own.
    filter: Filter


class SharedEntries:
    """Entries with nothing in them that depends on who reads them."""

    def __init__(self, lazy_members: LazyMembers) -> None:
        self._lazy_members = lazy_members
        # By room nid for each moment, and how many there are in all.
        self._moments: OrderedDict[_Moment, dict[int, _Shared]] = OrderedDict()
        self._count = 0

    def find_all(
        self, ctx: SyncContext, room_nids: Iterable[int], since: int, form: StateForm
    ) -> dict[int, bytes] | None:
        """The entries of some rooms, if they are right for this user too, who was in
        all of them at *since*, and is: a look at a dict and at the senders each.
        """
        moment = self._moments.get((since, ctx.now, id(ctx.filter), form))
        if moment is None or ctx.full_state or ctx.ignored_users:
            return None
        entries: dict[int, bytes] = {}
        for nid in room_nids:
            shared = moment.get(nid)
            if shared is None or not self._suits(ctx, nid, shared, since):
                return None
            entries[nid] = shared.entry
        return entries

    def find(
        self, ctx: SyncContext, view: RoomView, since: int, form: StateForm
    ) -> bytes | None:
        """The entry that another user was shown, if it is right for this one too."""
        if not since or ctx.full_state or ctx.ignored_users:
            return None
        moment = self._moments.get((since, ctx.now, id(ctx.filter), form), {})
        shared = moment.get(view.nid)
        if (
            shared is None
            or not _saw_all(ctx, view, shared.start_pos)
            or not self._suits(ctx, view.nid, shared, since)
        ):
            return None
        return shared.entry

    def _suits(
        self, ctx: SyncContext, room_nid: int, shared: _Shared, since: int
    ) -> bool:
        """Whether one who saw all of it is shown the same."""
        if ctx.user_id in shared.senders:
            return False
        sent = ctx.sent_members
        if not ctx.filter.room.state.lazy_load_members or (
            sent is not None and shared.member_nids <= sent
        ):
            return True
        room = DeviceRoom(ctx.user_id, ctx.device_id, room_nid)
        if not self._lazy_members.has_sent(room, shared.members, since=since):
            return False
        if sent is not None:
            if len(sent) > _SENT_MAX:
                sent.clear()
            sent |= shared.member_nids
        return True

    def offer(
        self,
        ctx: SyncContext,
        view: RoomView,
        form: StateForm,
        timeline: Timeline,
        entry: bytes,
        *,
        since: int,
    ) -> None:
        """Keep *entry*, which holds *timeline* alone, for others who read it.

        The caller sees to it that neither state nor other sections are in it.
        """
        if ctx.ignored_users or not _saw_all(ctx, view, timeline.start_pos):
            return
        senders = {event.sender for event in timeline.events}
        if timeline.has_state or ctx.user_id in senders:
            return
        if timeline.limited and b'"m.relations":' in entry:
            # Who takes part in a thread, and ignores whom, depends on the reader.
            return
        members: dict[str, int] = {}
        for sender in senders:
            member = view.state.get(member_key(sender))
            if member is not None:
                members[sender] = member.event_nid
        moment = self._moments.setdefault((since, ctx.now, id(ctx.filter), form), {})
        self._count += view.nid not in moment
        moment[view.nid] = _Shared(
            entry=entry,
            start_pos=timeline.start_pos,
            senders=senders,
            members=members,
            member_nids=frozenset(members.values()),
            filter=ctx.filter,
        )
        while self._count > _ENTRIES_MAX:
            self._count -= len(self._moments.popitem(last=False)[1])


def _saw_all(ctx: SyncContext, view: RoomView, start_pos: int) -> bool:
    """Whether the user was joined before the first event, and is since."""
    member = view.state.get(member_key(ctx.user_id))
    return (
        member is not None
        and member.content["membership"] == "join"
        and member.room_pos < start_pos
    )
