"""The ``summary`` of a room in `/sync`: counts and heroes."""

import heapq
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

from tremula.protocol.identifiers import UserId
from tremula.protocol.room_state import member_key
from tremula.rooms.view import RoomView

HEROES: Final = 5
_ROOMS_MAX: Final = 10_000


class Summaries:
    """Summaries of rooms; heroes are looked for once a change of members."""

    def __init__(self) -> None:
        # {room nid: (members version, the oldest members, one more than needed)}
        self._oldest: OrderedDict[int, tuple[int, list[UserId]]] = OrderedDict()

    def heroes(self, view: RoomView, user_id: UserId) -> list[UserId]:
        """Up to five members for a room's name; none where it has one.

        "The first 5 members of the room, ordered by stream ordering, which are
        joined or invited", else those who were.
        """
        if _is_set(view, "m.room.name", "name") or _is_set(
            view, "m.room.canonical_alias", "alias"
        ):
            return []
        return [u for u in self._oldest_members(view) if u != user_id][:HEROES]

    def of(self, view: RoomView, user_id: UserId) -> dict[str, Any]:
        """The whole summary; without counts as long as members are missing."""
        summary: dict[str, Any] = {}
        if view.partial is None:
            summary = {
                "m.joined_member_count": view.joined_count,
                "m.invited_member_count": view.invited_count,
            }
        heroes = self.heroes(view, user_id)
        if heroes:
            summary["m.heroes"] = heroes
        return summary

    def _oldest_members(self, view: RoomView) -> list[UserId]:
        known = self._oldest.get(view.nid)
        if known is not None and known[0] == view.members_version:
            self._oldest.move_to_end(view.nid)
            return known[1]
        present = [*view.members("join"), *view.members("invite")]
        # Alone: whoever was here before.
        if len(present) <= 1:
            present += [*view.members("leave"), *view.members("ban")]
        oldest = _oldest(view, present)
        self._oldest[view.nid] = (view.members_version, oldest)
        while len(self._oldest) > _ROOMS_MAX:
            self._oldest.popitem(last=False)
        return oldest


def _oldest(view: RoomView, user_ids: Iterable[UserId]) -> list[UserId]:
    def room_pos(user_id: UserId) -> int:
        event = view.state.get(member_key(user_id))
        return event.room_pos if event else 0

    return heapq.nsmallest(HEROES + 1, user_ids, key=room_pos)


def _is_set(view: RoomView, event_type: str, key: str) -> bool:
    content = view.content_of(event_type)
    return bool(content and content.get(key))
