"""Who may see which event of a room (CS module "Room History Visibility")."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tremula.infra.db import Reader
from tremula.protocol.history_visibility import HistoryVisibility, Viewer
from tremula.protocol.identifiers import ServerName, UserId, server_of
from tremula.protocol.room_state import HISTORY_VISIBILITY, StateKey, member_key
from tremula.rooms import events_storage, storage
from tremula.rooms.event_store import END_POS, EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.graph import UNKNOWN_NID
from tremula.rooms.state import MEMBER
from tremula.rooms.view import History, RoomView, history_value

__all__ = ["Viewer", "Visibility"]

_FOR_ALL_MEMBERS: Final = (HistoryVisibility.SHARED, HistoryVisibility.WORLD_READABLE)
_KEYS_MAX: Final = 500


class Visibility(Struct, frozen=True):
    """Makes viewers."""

    db: Reader
    events: EventStore

    async def viewer(
        self, view: RoomView, user_id: UserId, *, oldest_pos: int = 0
    ) -> Viewer:
        """*user_id* as a viewer of events from *oldest_pos* on.

        No query where the user has been joined since *oldest_pos* or before, nor for
        keys that were asked for lately; else one or two for each key.
        """
        member = view.state.get(member_key(user_id))
        if (
            member is not None
            and member.content["membership"] == "join"
            and member.room_pos <= oldest_pos
        ):
            # One's own joining one may see, as what comes after it.
            return Viewer(user_id, [(member.room_pos, "join")], [])
        return Viewer(
            user_id,
            await self._history(view, member_key(user_id)),
            await self._history(view, HISTORY_VISIBILITY),
        )

    async def was_joined(self, view: RoomView, user_id: UserId, since: int) -> bool:
        """Whether the user was joined at journal position *since*, and all members have
        been known since then: clients are shown the room anew when that is so.

        No query unless the user's membership has changed since.
        """
        member = view.state.get(member_key(user_id))
        if member is None or view.completed_pos > since:
            return False
        if member.event_nid <= since:
            return view.is_joined(user_id)
        return await self.membership_at_nid(view, user_id, since) == "join"

    async def server_viewer(
        self, view: RoomView, server_name: ServerName, *, oldest_pos: int
    ) -> Viewer:
        """A server in the room as a viewer of events from *oldest_pos* on: it may see
        what any of its users may.

        Where history is shared, that is all. Elsewhere it costs what has changed of
        the memberships of its users since *oldest_pos*.
        """
        all_users = UserId(f"@:{server_name}")
        visibilities = await self._history(view, HISTORY_VISIBILITY)
        since = [value for pos, value in visibilities if pos >= oldest_pos]
        before = [value for pos, value in visibilities if pos < oldest_pos][-1:]
        if all(value in _FOR_ALL_MEMBERS for value in before + since):
            return Viewer(all_users, [(oldest_pos - 1, "join")], visibilities)
        memberships = await self._of_server(view, server_name, oldest_pos)
        return Viewer(all_users, memberships, visibilities)

    async def server_history(self, view: RoomView, server_name: ServerName) -> Viewer:
        """As `server_viewer`, with all that its users have ever been to the room."""
        return Viewer(
            UserId(f"@:{server_name}"),
            await self._of_server(view, server_name, -END_POS),
            await self._history(view, HISTORY_VISIBILITY),
        )

    async def _of_server(
        self, view: RoomView, server_name: ServerName, oldest_pos: int
    ) -> History:
        """The most that any user of a server was, from before *oldest_pos* on."""
        if view.partial is not None and server_name in view.partial.servers:
            # Which users those are is not known yet.
            return [(view.partial.base_pos, "join")]
        users = {
            user_id: membership
            for membership in ("join", "invite")
            for user_id in view.members(membership)
            if server_of(user_id) == server_name
        }
        changes = [
            change
            for change in await storage.member_changes(
                self.db, view.nid, server_name, from_pos=oldest_pos
            )
            if server_of(change[1]) == server_name
        ]
        earlier: dict[str, int] = {}
        changed = list({user_id for _, user_id, _ in changes})
        for start in range(0, len(changed), _KEYS_MAX):
            earlier |= await storage.nids_of_keys_at(
                self.db,
                view.nid,
                MEMBER,
                changed[start : start + _KEYS_MAX],
                room_pos=oldest_pos - 1,
            )
        found = await self.events.by_nids(
            [*earlier.values(), *(nid for _, _, nid in changes)]
        )
        for user_id in changed:
            users[UserId(user_id)] = _membership(found.get(earlier.get(user_id, 0)))
        counts = Counter(users.values())
        history = [(oldest_pos - 1, _most(counts))]
        for pos, user_id, nid in changes:
            membership = _membership(found.get(nid))
            counts[users[user_id]] -= 1
            counts[membership] += 1
            users[user_id] = membership
            history.append((pos, _most(counts)))
        return history

    async def filter(
        self, view: RoomView, user_id: UserId, events: Sequence[StoredEvent]
    ) -> list[StoredEvent]:
        """Those of *events* that *user_id* may see, in their order."""
        if not events:
            return []
        oldest = min(event.room_pos for event in events)
        viewer = await self.viewer(view, user_id, oldest_pos=oldest)
        return viewer.visible(events)

    async def membership_at_nid(
        self, view: RoomView, user_id: UserId, event_nid: int
    ) -> str:
        """*user_id*'s membership at a journal position; ``leave`` before any."""
        return (await self.memberships_from_nid(view, user_id, event_nid))[0]

    async def memberships_from_nid(
        self, view: RoomView, user_id: UserId, event_nid: int
    ) -> Sequence[str]:
        """*user_id*'s membership at a journal position, and each one after it."""
        at_pos = await events_storage.newest_pos_up_to(
            self.db, view.nid, event_nid=event_nid
        )
        first, later = "leave", []
        for pos, membership in await self._stored(view, member_key(user_id)):
            if pos <= at_pos:
                first = membership
            else:
                later.append(membership)
        return [first, *later]

    async def _history(self, view: RoomView, key: StateKey) -> History:
        current = view.state.get(key)
        if current is None:
            return []
        histories = view.histories
        known = histories.get(key)
        if known is not None:
            return known
        history = await self._stored(view, key)
        # What was committed between the query and here is in the view's state.
        newest = view.state.get(key)
        is_whole = histories is view.histories
        if is_whole and newest and history and history[-1][0] == newest.room_pos:
            view.remember_history(key, history)
        return history

    async def _stored(self, view: RoomView, key: StateKey) -> History:
        changes = await storage.changes_of_key(self.db, view.nid, key)
        found = await self.events.by_nids(nid for _, nid in changes if nid)
        return [
            # Of what could not be had the strictest is true.
            (pos, HistoryVisibility.JOINED)
            if nid == UNKNOWN_NID
            else (pos, history_value(key, found.get(nid)))
            for pos, nid in changes
        ]


def _membership(event: StoredEvent | None) -> str:
    return "leave" if event is None else str(event.content.get("membership"))


def _most(counts: Counter[str]) -> str:
    return next((each for each in ("join", "invite") if counts[each]), "leave")
