"""What this server tells others about events and states of rooms they are in."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from tremula.infra.clock import Clock
from tremula.protocol.errors import Forbidden, NotFound
from tremula.protocol.hashes import encode_event_json
from tremula.protocol.identifiers import EventId, RoomId, ServerName
from tremula.protocol.json import loads_exact
from tremula.protocol.redaction import redact
from tremula.rooms.erasures import Erasures
from tremula.rooms.event_store import END_POS, EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.graph import Node
from tremula.rooms.past import RoomPast
from tremula.rooms.reader import RoomReader
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView
from tremula.rooms.visibility import Viewer, Visibility

EVENTS_MAX: Final = 100
"""How many events one answer has at most."""


class MissingRange(Struct, frozen=True, kw_only=True):
    """What SS getMissingPreviousEvents asks for."""

    earliest: Collection[EventId]
    latest: Collection[EventId]
    min_depth: int
    limit: int


class EventsForServers(Struct, frozen=True):
    """Answers servers that are in a room, and no others (CVE-2022-39335).

    Every method raises `Forbidden` if the asking server is not in the room, or this
    one is not, or the room's ACL excludes it; no such room is no different.

    Messages that the history visibility hides from a server are redacted: it still
    needs their place in the graph. State is shown as it is, for it would be asked for
    as the state of a later event, and a redacted copy of it would break the room.

    What an erased user had sent is redacted for servers that came later, their names
    in their own member events included. In states and auth chains it is as it was.
    """

    reader: RoomReader
    past: RoomPast
    events: EventStore
    visibility: Visibility
    erasures: Erasures
    clock: Clock
    own: ServerName

    async def event(self, origin: ServerName, event_id: EventId) -> bytes:
        """An event as canonical JSON.

        Raises:
            NotFound: this server has no such event.
        """
        stored = await self.events.find_anywhere(event_id)
        if stored is None:
            raise NotFound("Event not found.")
        [room_id] = (await self.reader.room_ids([stored.room_nid])).values()
        view = await self._room(origin, room_id)
        node = await self.past.find_stored(view, event_id)
        if node is None:
            raise NotFound("Event not found.")
        return (await self._pdus(view, origin, [node]))[0]

    async def state(
        self, origin: ServerName, room_id: RoomId, event_id: EventId
    ) -> tuple[list[bytes], list[bytes]]:
        """The state before an event and its auth chain, as canonical JSON.

        Raises:
            NotFound: there is no such event in the room, or the state is not known.
        """
        view = await self._room(origin, room_id)
        state, chain = await self._state(view, event_id)
        return (
            await self.past.pdus.of(view.version, state),
            await self.past.pdus.of(view.version, chain),
        )

    async def state_ids(
        self, origin: ServerName, room_id: RoomId, event_id: EventId
    ) -> tuple[list[EventId], list[EventId]]:
        """As `state`, the IDs alone.

        Raises:
            NotFound: there is no such event in the room, or the state is not known.
        """
        view = await self._room(origin, room_id)
        state, chain = await self._state(view, event_id)
        ids = await self.past.ids({*state, *chain})
        return [ids[nid] for nid in state], [ids[nid] for nid in chain]

    async def event_auth(
        self, origin: ServerName, room_id: RoomId, event_id: EventId
    ) -> list[bytes]:
        """The auth chain of an event, as canonical JSON.

        Raises:
            NotFound: there is no such event in the room.
        """
        view = await self._room(origin, room_id)
        node = await self.past.find_stored(view, event_id)
        if node is None:
            raise NotFound("Event not found.")
        chain = await self.past.auth_chain([node.nid])
        return await self.past.pdus.of(view.version, sorted(chain))

    async def backfill(
        self,
        origin: ServerName,
        room_id: RoomId,
        event_ids: Collection[EventId],
        *,
        limit: int,
    ) -> list[bytes]:
        """*event_ids* and what came before them, the newest first."""
        view = await self._room(origin, room_id)
        nodes = await self.past.backfill(view, event_ids, limit=limit)
        return await self._pdus(view, origin, nodes)

    async def missing(
        self, origin: ServerName, room_id: RoomId, wanted: MissingRange
    ) -> list[bytes]:
        """What came between events, the oldest first."""
        view = await self._room(origin, room_id)
        nodes = await self.past.missing_between(
            view,
            earliest=wanted.earliest,
            latest=wanted.latest,
            min_depth=wanted.min_depth,
            limit=wanted.limit,
        )
        return await self._pdus(view, origin, nodes)

    async def event_at(
        self, origin: ServerName, room_id: RoomId, ts_ms: int, *, forwards: bool
    ) -> StoredEvent:
        """The event closest to *ts_ms* in one direction that *origin* may see.

        Raises:
            NotFound: there is none.
        """
        view = await self._room(origin, room_id)
        viewer = await self.visibility.server_viewer(view, origin, oldest_pos=-END_POS)
        found = await self.events.nearest(
            view.nid,
            ts_ms,
            forwards=forwards,
            span=viewer.narrow((-END_POS, view.room_pos)),
            accept=viewer.can_see,
        )
        if found is None:
            raise NotFound(f"There is no event in the room near {ts_ms}")
        return found

    async def _room(self, origin: ServerName, room_id: RoomId) -> RoomView:
        view = await self.reader.find_room(room_id)
        if (
            view is None
            or not {origin, self.own} <= view.joined_servers.keys()
            or not view.admits(origin)
        ):
            raise Forbidden("your server is not in that room")
        return view

    async def _state(
        self, view: RoomView, event_id: EventId
    ) -> tuple[list[int], list[int]]:
        if view.partial is not None:
            raise NotFound("All of the state is not known here yet.")
        node = await self.past.find(view, event_id)
        state = None if node is None else await self.past.state_before(view, node)
        if state is None:
            raise NotFound("The state before that event is not known here.")
        nids = list(state.values())
        return nids, sorted(await self.past.auth_chain(nids))

    async def _pdus(
        self, view: RoomView, origin: ServerName, nodes: Sequence[Node]
    ) -> list[bytes]:
        """*nodes* as *origin* may see them."""
        nids = [node.nid for node in nodes]
        found = await self.events.by_nids(nids)
        shown = [found[nid] for nid in nids]
        positions = [each.room_pos for each in shown if each.is_in_timeline]
        oldest_pos = min(positions, default=view.room_pos)
        viewer = await self.visibility.server_viewer(
            view, origin, oldest_pos=oldest_pos
        )
        erased = await self._erased(view, origin, shown)
        pdus = await self.past.pdus.of(view.version, nids)
        return [
            pdu
            if _may_see(view, viewer, each) and each.event_nid not in erased
            else _redacted(view, pdu)
            for each, pdu in zip(shown, pdus, strict=True)
        ]

    async def _erased(
        self, view: RoomView, origin: ServerName, events: Sequence[StoredEvent]
    ) -> Collection[int]:
        if not self.erasures.concern(events):
            return ()
        viewer = await self.visibility.server_history(view, origin)
        return await self.erasures.hidden(view, events, viewer)


def _may_see(view: RoomView, viewer: Viewer, event: StoredEvent) -> bool:
    if event.is_state:
        return True
    if event.is_in_timeline:
        return viewer.can_see(event)
    # A soft-failed one: it is not known who was in the room when it was sent.
    return view.is_shared


def _redacted(view: RoomView, pdu: bytes) -> bytes:
    parsed: dict[str, Any] = loads_exact(pdu)
    redacted = redact(view.version, parsed)
    if _is_authorised_no_more(parsed, redacted):
        return pdu
    return encode_event_json(view.version, redacted)


def _is_authorised_no_more(pdu: Mapping[str, Any], redacted: Mapping[str, Any]) -> bool:
    """Whether it is a restricted join of room version 8, which loses its reason."""
    lost = pdu["content"].keys() - redacted["content"].keys()
    return pdu["type"] == MEMBER and "join_authorised_via_users_server" in lost
