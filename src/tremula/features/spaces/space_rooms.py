"""Rooms as the hierarchy of a space shows them, and those of this server."""

from collections.abc import Mapping
from heapq import nsmallest
from typing import Any

import orjson
from msgspec import Struct, field

from tremula.protocol.identifiers import RoomId, ServerName
from tremula.protocol.spaces import (
    CHILD,
    CHILDREN_MAX,
    SPACE,
    Child,
    children_of,
    order_of,
)
from tremula.rooms.authorising import allowed_rooms, has_restricted_joins
from tremula.rooms.reader import RoomReader
from tremula.rooms.state import StateEvent
from tremula.rooms.summary import published_room, text_in
from tremula.rooms.view import RoomView

Summary = Mapping[str, Any]
"""What CS getRoomSummary says of a room, but for the user's membership."""


class SpaceRoom(Struct, frozen=True):
    """A room, with its children if it is a space.

    ``told`` and ``inaccessible`` are what the server that told of the room said of
    its children, beside.
    """

    summary: Summary
    children: tuple[Child, ...] = ()
    told: Mapping[RoomId, Summary] = field(default_factory=dict)
    inaccessible: frozenset[RoomId] = frozenset()

    @property
    def room_id(self) -> RoomId:
        """The ID of the room."""
        return RoomId(self.summary["room_id"])

    def to_json(self, *, suggested_only: bool) -> bytes:
        """The room with its ``children_state``."""
        children = b",".join(
            child.json
            for child in self.children
            if child.suggested or not suggested_only
        )
        return b'%b,"children_state":[%b]}' % (
            orjson.dumps(self.summary)[:-1],
            children,
        )


def is_space(summary: Summary) -> bool:
    """Whether a room is one that has children."""
    return summary.get("room_type") == SPACE


def summary_of(view: RoomView) -> Summary:
    """The summary of a room of this server."""
    summary = published_room(view) | {"room_version": view.version.id}
    encryption = text_in(view, "m.room.encryption", "algorithm")
    if encryption is not None:
        summary["encryption"] = encryption
    if has_restricted_joins(view):
        summary["allowed_room_ids"] = allowed_rooms(view)
    return summary


class OwnRooms(Struct, frozen=True):
    """The rooms that this server is in, so that it knows how they are now."""

    reader: RoomReader
    own: ServerName

    async def find(self, room_id: RoomId) -> RoomView | None:
        """The room, if this server is in it and knows all of its members."""
        view = await self.reader.find_room(room_id)
        if view is None or view.partial is not None:
            return None
        return view if self.own in view.joined_servers else None

    async def read(self, view: RoomView) -> SpaceRoom:
        """A room as it is shown. One query for the children that are not cached."""
        summary = summary_of(view)
        return SpaceRoom(
            summary, await self._children(view) if is_space(summary) else ()
        )

    async def _children(self, view: RoomView) -> tuple[Child, ...]:
        entries = [each for each in view.other_state.values() if each.type == CHILD]
        first = nsmallest(CHILDREN_MAX, filter(_may_be_child, entries), key=_rank)
        events = await self.reader.events.by_nids(each.event_nid for each in first)
        return children_of(
            {
                "content": event.content,
                "origin_server_ts": event.origin_server_ts,
                "sender": event.sender,
                "state_key": event.state_key,
                "type": event.type,
            }
            for event in events.values()
        )


def _may_be_child(entry: StateEvent) -> bool:
    return bool(entry.content.get("via"))


def _rank(entry: StateEvent) -> tuple[bool, str, int]:
    # The order of arrival stands for that of time, which is not in memory.
    return (*order_of(entry.content), entry.event_nid)
