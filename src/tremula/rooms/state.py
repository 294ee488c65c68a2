"""A room's state as an immutable map, and what its members are."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any, Final, Protocol

from msgspec import Struct

from tremula.protocol.identifiers import EventId, ServerName, UserId, server_of
from tremula.protocol.room_state import StateKey
from tremula.rooms.events import StoredEvent

MEMBER: Final = "m.room.member"

# Authorisation reads nothing of a member event but its membership, so that all
# members of the server share these few contents.
_MEMBER_CONTENTS: Final[dict[str, dict[str, Any]]] = {
    membership: {"membership": membership}
    for membership in ("join", "invite", "leave", "ban", "knock")
}


class StateEvent(Struct, frozen=True):
    """One entry of a room's state, which has been so since ``room_pos``.

    ``content`` of an ``m.room.member`` holds its ``membership`` only: a room of
    50,000 members is kept in memory. The whole event is in the event store.
    """

    event_id: EventId
    event_nid: int
    room_pos: int
    type: str
    state_key: str
    sender: str
    content: dict[str, Any]


class StateUpdate(Struct, frozen=True):
    """What changes in a room's current state when an event comes."""

    replaced: tuple[StateEvent, ...] = ()
    removed: tuple[StateKey, ...] = ()

    @property
    def members(self) -> Mapping[UserId, str | None]:
        """The users whose memberships change, and what these are now."""
        members: dict[UserId, str | None] = {}
        for event in self.replaced:
            if event.type == MEMBER:
                members[UserId(event.state_key)] = event.content["membership"]
        for event_type, state_key in self.removed:
            if event_type == MEMBER:
                members[UserId(state_key)] = None
        return members


NO_UPDATE: Final = StateUpdate()

_Entries = dict[StateKey, StateEvent]

# Below it a map is one dict, of a size that is copied as fast as a list of dicts.
_ONE_DICT_BELOW: Final = 64
# A change costs about as much as dealing out this many entries anew.
_ENTRIES_A_CHANGE: Final = 8


def state_content(event_type: str, content: dict[str, Any]) -> dict[str, Any]:
    """What a `StateEvent` keeps of *content*."""
    if event_type != MEMBER:
        return content
    return member_content(str(content.get("membership")))


def state_event(stored: StoredEvent, *, room_pos: int) -> StateEvent:
    """*stored* as an entry of the state, from *room_pos* on."""
    assert stored.state_key is not None
    return StateEvent(
        stored.event_id,
        stored.event_nid,
        room_pos,
        stored.type,
        stored.state_key,
        stored.sender,
        state_content(stored.type, stored.content),
    )


def member_content(membership: str) -> dict[str, Any]:
    """The shared content of every member whose membership this is."""
    return _MEMBER_CONTENTS.get(membership) or {"membership": membership}


class _Get(Protocol):
    def __call__(self, key: StateKey, /) -> StateEvent | None: ...


class StateMap:
    """An immutable map of ``(type, state_key)`` to `StateEvent`.

    The entries lie in dicts by the hash of their key: as many dicts as each has
    entries, more or less. A changed copy has one of them anew and shares the others;
    with 50,000 entries that is some microseconds and ten kilobytes.

    ``get`` finds the entry of a key, if the room has one: asked often, it is the one
    dict's own where there is no more than one.
    """

    __slots__ = ("_dicts", "_length", "_mask", "get")

    def __init__(self, dicts: list[_Entries] | None = None, length: int = 0) -> None:
        self._dicts = [{}] if dicts is None else dicts
        self._mask = len(self._dicts) - 1
        self._length = length
        self.get: _Get = (
            partial(_find, self._dicts, self._mask)
            if self._mask
            else self._dicts[0].get
        )

    @classmethod
    def of(cls, events: Iterable[StateEvent]) -> "StateMap":
        """The map of *events*; of two with one key, the later counts."""
        return _dealt({(event.type, event.state_key): event for event in events})

    def with_event(self, event: StateEvent) -> "StateMap":
        """This map with *event* in the place of the one of its key."""
        key = (event.type, event.state_key)
        index = hash(key) & self._mask
        return self._with(index, {**self._dicts[index], key: event})

    def updated(self, update: StateUpdate) -> "StateMap":
        """This map with what *update* replaces, and without what it removes."""
        if _ENTRIES_A_CHANGE * len(update.replaced) > self._length:
            return self._updated_at_once(update)
        state = self
        for event in update.replaced:
            state = state.with_event(event)
        for key in update.removed:
            state = state.without(key)
        return state

    def without(self, key: StateKey) -> "StateMap":
        """This map without an entry at *key*, where it has one."""
        index = hash(key) & self._mask
        entries = self._dicts[index].copy()
        entries.pop(key, None)
        return self._with(index, entries)

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._dicts[hash(key) & self._mask]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return chain.from_iterable(self._dicts)

    def values(self) -> Iterator[StateEvent]:
        """All entries, in no order."""
        return chain.from_iterable(map(dict.values, self._dicts))

    def of_type(self, event_type: str) -> Mapping[str, StateEvent]:
        """The entries of one type by state key; scans the map."""
        return {e.state_key: e for e in self.values() if e.type == event_type}

    def _updated_at_once(self, update: StateUpdate) -> "StateMap":
        entries = self._entries()
        entries |= {(event.type, event.state_key): event for event in update.replaced}
        for key in update.removed:
            entries.pop(key, None)
        return _dealt(entries)

    def _with(self, index: int, entries: _Entries) -> "StateMap":
        dicts = self._dicts.copy()
        dicts[index] = entries
        length = self._length + len(entries) - len(self._dicts[index])
        changed = StateMap(dicts, length)
        too_few = _number_of_dicts(length) > len(dicts)
        return _dealt(changed._entries()) if too_few else changed

    def _entries(self) -> _Entries:
        return {key: event for part in self._dicts for key, event in part.items()}


def _find(dicts: list[_Entries], mask: int, key: StateKey) -> StateEvent | None:
    return dicts[hash(key) & mask].get(key)


def _number_of_dicts(length: int) -> int:
    """A power of two: about the root of *length*, and one for what is small."""
    return 1 if length < _ONE_DICT_BELOW else 1 << (length.bit_length() // 2)


def _dealt(entries: _Entries) -> StateMap:
    """The map of *entries*, which may become a part of it."""
    mask = _number_of_dicts(len(entries)) - 1
    if not mask:
        return StateMap([entries], len(entries))
    dicts: list[_Entries] = [{} for _ in range(mask + 1)]
    for key, event in entries.items():
        dicts[hash(key) & mask][key] = event
    return StateMap(dicts, len(entries))


class Members:
    """The members of a room by membership, kept up as events are committed.

    ``servers`` counts the joined users of each server that has any, and one more of
    each that is given as *also* having some.
    """

    __slots__ = ("_by_membership", "servers")

    def __init__(self, state: StateMap, *, also: Iterable[ServerName] = ()) -> None:
        self._by_membership: dict[str, set[UserId]] = {}
        self.servers: dict[ServerName, int] = dict.fromkeys(also, 1)
        for event in state.values():
            if event.type == MEMBER:
                membership = event.content["membership"]
                self._add(membership, UserId(event.state_key))

    def of(self, membership: str) -> set[UserId]:
        """The users of one membership: the live set, not to be changed."""
        return self._by_membership.setdefault(membership, set())

    def move(self, user_id: UserId, *, before: str | None, after: str | None) -> None:
        """*user_id*'s membership is now *after*; None: has never had any."""
        if before is not None:
            self._discard(before, user_id)
        if after is not None:
            self._add(after, user_id)

    def _add(self, membership: str, user_id: UserId) -> None:
        users = self.of(membership)
        if membership == "join" and user_id not in users:
            server_name = server_of(user_id)
            self.servers[server_name] = self.servers.get(server_name, 0) + 1
        users.add(user_id)

    def _discard(self, membership: str, user_id: UserId) -> None:
        users = self.of(membership)
        if membership == "join" and user_id in users:
            server_name = server_of(user_id)
            self.servers[server_name] -= 1
            if not self.servers[server_name]:
                del self.servers[server_name]
        users.discard(user_id)
