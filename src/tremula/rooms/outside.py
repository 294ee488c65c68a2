"""Rooms that this server is not in, and what its users are to them all the same.

Somebody is invited there, or knocks, or has refused an invitation. Nothing is known of
such a room but what another server said of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import orjson
from msgspec import Struct, field

from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.events import BuiltEvent
from tremula.protocol.identifiers import EventId, RoomId, ServerName, UserId
from tremula.protocol.room_versions import RoomVersion, get_room_version
from tremula.rooms import storage
from tremula.rooms.memberships import Memberships
from tremula.rooms.outside_storage import OutsideRow, outside_rows, upsert_outside
from tremula.rooms.storage import RoomRow, UserRoom
from tremula.rooms.whole_events import portions

NO_POS: Final = 0
"""The ``room_pos`` of a membership in a room without a timeline."""


class OutsideMembership(Struct, frozen=True):
    """What a user is to a room by *client_json*, an ``m.room.member`` event.

    ``servers`` can help to join or leave; ``stripped_state`` are stripped events.
    """

    user_id: UserId
    room_id: RoomId
    version: RoomVersion
    client_json: bytes
    server_json: bytes
    servers: tuple[ServerName, ...]
    stripped_state: tuple[bytes, ...]

    @classmethod
    def of(
        cls,
        version: RoomVersion,
        built: BuiltEvent,
        *,
        servers: Iterable[ServerName],
        stripped_state: Iterable[bytes],
    ) -> "OutsideMembership":
        """The membership that the member event *built* makes."""
        event = built.event
        return cls(
            UserId(event.state_key or ""),
            event.room_id,
            version,
            built.client_json,
            built.server_json,
            tuple(servers),
            tuple(stripped_state),
        )

    @property
    def event(self) -> dict[str, Any]:
        """The member event as clients see it."""
        event: dict[str, Any] = orjson.loads(self.client_json)
        return event

    @property
    def event_id(self) -> EventId:
        """That of the member event."""
        return EventId(self.event["event_id"])

    @property
    def depth(self) -> int:
        """That of the member event."""
        depth: int = orjson.loads(self.server_json)["depth"]
        return depth

    @property
    def membership(self) -> str:
        """``invite``, ``knock``, ``leave`` or ``ban``."""
        membership: str = self.event["content"]["membership"]
        return membership

    @property
    def sender(self) -> UserId:
        """Who made it so."""
        return UserId(self.event["sender"])


class OutsideMarker(Protocol):
    """Stores whom invitations to such rooms notify."""

    async def prepare(self, outside: OutsideMembership) -> None:
        """Read what it takes to mark *outside*."""
        ...

    def mark(
        self, unit: JournalUnit, outside: OutsideMembership, *, room_nid: int, pos: int
    ) -> None:
        """Store with *unit* that *outside* notifies, and that nothing before does."""
        ...


class OutsideRooms(Struct, frozen=True):
    """Records and finds what users are to rooms that this server is not in."""

    db: Reader
    journal: Journal
    memberships: Memberships
    _locks: KeyedLocks[RoomId] = field(default_factory=KeyedLocks[RoomId])
    _markers: list[OutsideMarker] = field(default_factory=list[OutsideMarker])

    def add_marker(self, marker: OutsideMarker) -> None:
        """Have *marker* mark what is recorded from now on."""
        self._markers.append(marker)

    async def record(self, outside: OutsideMembership) -> None:
        """Store a new membership; the user's devices are told."""

        async def attempt() -> None:
            for marker in self._markers:
                await marker.prepare(outside)
            known = await storage.find_room(self.db, outside.room_id)
            unit = self.journal.unit()
            pos = unit.pos()
            room_nid = known.room_nid if known else pos
            if known is None:
                row = RoomRow(room_nid, outside.room_id, outside.version.id)
                storage.insert_room(unit, row)
            user_room = UserRoom(
                room_id=outside.room_id,
                room_nid=room_nid,
                membership=outside.membership,
                event_nid=pos,
                room_pos=NO_POS,
                sender=outside.sender,
                forgotten=False,
            )
            upsert_outside(unit, _row(outside, room_nid=room_nid, event_nid=pos))
            self.memberships.record(unit, outside.user_id, user_room)
            for marker in self._markers:
                marker.mark(unit, outside, room_nid=room_nid, pos=pos)
            unit.wake([outside.user_id])
            await self.journal.commit(unit)

        async with self._locks.of(outside.room_id):
            # A room that has just become known has a number.
            await reread_on_conflict(attempt)

    async def find(self, user_id: UserId, room_id: RoomId) -> OutsideMembership | None:
        """What *user_id* is to a room from the outside; None for all other rooms."""
        rooms = (await self.memberships.of_user(user_id)).values()
        user_rooms = [room for room in rooms if room.room_id == room_id]
        found = await self.among(user_id, user_rooms)
        return next(iter(found.values()), None)

    async def among(
        self, user_id: UserId, user_rooms: Sequence[UserRoom]
    ) -> Mapping[int, OutsideMembership]:
        """Those of *user_rooms* that are outside, by room nid.

        No query for memberships in a timeline.
        """
        candidates = {r.room_nid: r for r in user_rooms if r.room_pos == NO_POS}
        found: dict[int, OutsideMembership] = {}
        for part in portions(candidates):
            rows = await outside_rows(self.db, user_id, part)
            for nid, row in rows.items():
                if row.event_nid == candidates[nid].event_nid:
                    found[nid] = _outside(row, candidates[nid].room_id)
        return found


def _row(outside: OutsideMembership, *, room_nid: int, event_nid: int) -> OutsideRow:
    return OutsideRow(
        user_id=outside.user_id,
        room_nid=room_nid,
        event_nid=event_nid,
        room_version=outside.version.id,
        client_json=outside.client_json,
        server_json=outside.server_json,
        servers=orjson.dumps(outside.servers),
        stripped_state=b"[" + b",".join(outside.stripped_state) + b"]",
    )


def _outside(row: OutsideRow, room_id: RoomId) -> OutsideMembership:
    return OutsideMembership(
        user_id=row.user_id,
        room_id=room_id,
        version=get_room_version(row.room_version),
        client_json=row.client_json,
        server_json=row.server_json,
        servers=tuple(map(ServerName, orjson.loads(row.servers))),
        stripped_state=tuple(map(orjson.dumps, orjson.loads(row.stripped_state))),
    )
