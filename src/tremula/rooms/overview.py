"""What lists of rooms need of each room, without any of them being loaded.

A user may be in thousands of rooms, of which few are shown.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, Final, TypeVar

import orjson
from msgspec import Struct

from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import UserId
from tremula.rooms import events_storage, overview_storage
from tremula.rooms.events import PersistedEvent
from tremula.rooms.overview_storage import FACT_TYPES
from tremula.rooms.partial import COMPLETED_TOPIC
from tremula.rooms.staging import EVENT_TOPIC, REREAD_TOPIC
from tremula.rooms.storage import UserRoom

BUMP_TYPES: Final = (
    "m.room.create",
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.call.invite",
    "m.poll.start",
    "org.matrix.msc3381.poll.start",
    "m.beacon_info",
    "org.matrix.msc3672.beacon_info",
)
"""What is news for whoever looks at a list of rooms (MSC4186, ``bump_stamp``)."""

_ROOMS_MAX: Final = 200_000
_ROOMS_PER_QUERY: Final = 500

_V = TypeVar("_V")


class RoomFacts(Struct, frozen=True):
    """What rooms are chosen by."""

    room_type: str | None = None
    is_encrypted: bool = False
    name: str = ""

    @classmethod
    def of(cls, contents: Mapping[str, Mapping[str, Any]]) -> "RoomFacts":
        """Those in the contents of state events by type. What is no text is absent."""
        room_type = contents.get("m.room.create", {}).get("type")
        name = contents.get("m.room.name", {}).get("name")
        return cls(
            room_type if isinstance(room_type, str) else None,
            "m.room.encryption" in contents,
            name if isinstance(name, str) else "",
        )


class RoomOverview:
    """Keeps it in memory, as events come; two queries for 500 rooms not known yet."""

    def __init__(self, db: Reader, journal: Journal) -> None:
        self._db = db
        self._journal = journal
        self._newest: dict[int, int] = {}
        self._bumps: dict[int, int] = {}
        self._facts: dict[int, RoomFacts] = {}
        # By user, room and what the user is to it now: whether that was once more.
        self._once_joined: dict[tuple[UserId, int, int], bool] = {}
        # What changes while it is being read is read again.
        self._watches: list[set[int]] = []
        journal.subscribe(EVENT_TOPIC, self._on_event)
        journal.subscribe(COMPLETED_TOPIC, self._on_completed)
        journal.subscribe(REREAD_TOPIC, self._on_reread)
        journal.on_forget(self._forget_all)

    def __len__(self) -> int:
        """How many rooms are known."""
        return len(self._newest)

    async def newest(self, room_nids: AbstractSet[int]) -> Mapping[int, int]:
        """A mapping with, among others, the journal positions of the newest events of
        these rooms; live.
        """
        await self._fill(self._newest, room_nids, self._read_newest)
        return self._newest

    async def bumps(self, room_nids: AbstractSet[int]) -> Mapping[int, int]:
        """The same of the newest events of `BUMP_TYPES`; 0 where there are none."""
        await self._fill(self._bumps, room_nids, self._read_bumps)
        return self._bumps

    async def facts(self, room_nids: AbstractSet[int]) -> Mapping[int, RoomFacts]:
        """A live mapping with, among others, the facts of these rooms."""
        await self._fill(self._facts, room_nids, self._read_facts)
        return self._facts

    async def facts_at(self, room_nid: int, room_pos: int) -> RoomFacts:
        """The facts of a room as they were after *room_pos*. One query."""
        rows = await overview_storage.fact_events_at(
            self._db, room_nid, room_pos=room_pos
        )
        return RoomFacts.of({event_type: _content(json) for event_type, json in rows})

    async def once_joined(
        self, user_id: UserId, rooms: Sequence[UserRoom]
    ) -> Sequence[UserRoom]:
        """Those of *rooms* that the user has ever been in; no query if asked lately."""
        known = self._once_joined
        unknown = [r for r in rooms if (user_id, r.room_nid, r.event_nid) not in known]
        joined: set[int] = set()
        for start in range(0, len(unknown), _ROOMS_PER_QUERY):
            nids = [each.room_nid for each in unknown[start : start + _ROOMS_PER_QUERY]]
            for nid, json in await overview_storage.member_events_of(
                self._db, user_id, nids
            ):
                if _content(json).get("membership") == "join":
                    joined.add(nid)
        found = {
            r.room_nid: known.get((user_id, r.room_nid, r.event_nid)) for r in rooms
        }
        for room in unknown:
            was_joined = found[room.room_nid] = room.room_nid in joined
            known[user_id, room.room_nid, room.event_nid] = was_joined
        _drop_oldest(known)
        return [room for room in rooms if found[room.room_nid]]

    async def _fill(
        self,
        into: dict[int, _V],
        room_nids: AbstractSet[int],
        read: Callable[[Sequence[int]], Awaitable[Mapping[int, _V]]],
    ) -> None:
        while missing := list(room_nids - into.keys()):
            watch: set[int] = set()
            self._watches.append(watch)
            try:
                part = missing[:_ROOMS_PER_QUERY]
                found = await read(part)
            finally:
                self._watches = [each for each in self._watches if each is not watch]
            if _ALL in watch:
                continue
            into.update({n: value for n, value in found.items() if n not in watch})
        if len(into) > max(_ROOMS_MAX, 2 * len(room_nids)):
            kept = {nid: into[nid] for nid in room_nids}
            into.clear()
            into.update(kept)

    async def _read_newest(self, room_nids: Sequence[int]) -> Mapping[int, int]:
        found = await events_storage.newest_nids(self._db, room_nids)
        return {nid: found.get(nid, 0) for nid in room_nids}

    async def _read_bumps(self, room_nids: Sequence[int]) -> Mapping[int, int]:
        found = await overview_storage.newest_of_types(self._db, room_nids, BUMP_TYPES)
        return {nid: found.get(nid, 0) for nid in room_nids}

    async def _read_facts(self, room_nids: Sequence[int]) -> Mapping[int, RoomFacts]:
        contents: dict[int, dict[str, Any]] = {nid: {} for nid in room_nids}
        for nid, event_type, json in await overview_storage.fact_events(
            self._db, room_nids
        ):
            contents[nid][event_type] = _content(json)
        return {nid: RoomFacts.of(each) for nid, each in contents.items()}

    def _on_event(self, pos: int, room_nid: Hashable, payload: object) -> None:
        assert isinstance(room_nid, int)
        assert isinstance(payload, PersistedEvent)
        self._touch(room_nid)
        if room_nid in self._newest:
            self._newest[room_nid] = pos
        stored = payload.stored
        if room_nid in self._bumps and stored.type in BUMP_TYPES:
            self._bumps[room_nid] = pos
        if (
            (stored.is_state and stored.type in FACT_TYPES)
            or payload.changes_other_state
            or payload.redacts is not None
        ):
            self._facts.pop(room_nid, None)

    def _on_completed(self, pos: int, room_nid: Hashable, _payload: object) -> None:
        assert isinstance(room_nid, int)
        self._forget_room(room_nid)
        if room_nid in self._newest:
            self._newest[room_nid] = pos

    def _on_reread(self, _pos: int, room_nid: Hashable, _payload: object) -> None:
        assert isinstance(room_nid, int)
        self._forget_room(room_nid)

    def _forget_room(self, room_nid: int) -> None:
        self._touch(room_nid)
        self._facts.pop(room_nid, None)
        self._bumps.pop(room_nid, None)

    def _touch(self, room_nid: int) -> None:
        for watch in self._watches:
            watch.add(room_nid)

    def _forget_all(self) -> None:
        self._touch(_ALL)
        self._newest.clear()
        self._bumps.clear()
        self._facts.clear()


# No room has this number.
_ALL: Final = -1


def _content(client_json: bytes) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(client_json)["content"]
    return content


def _drop_oldest(entries: dict[tuple[UserId, int, int], bool]) -> None:
    surplus: Iterable[tuple[UserId, int, int]] = list(
        islice(entries, max(0, len(entries) - _ROOMS_MAX))
    )
    for key in surplus:
        del entries[key]
