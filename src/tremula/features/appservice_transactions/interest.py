"""Which application services are told of what happens in a room.

AS "Registration": a room is theirs by its ID or an alias, or because one of their users
is joined. Members are gone through once for each room that is written to; from then on
each event says what changes. A room of nobody's costs a few look-ups an event.
"""

from collections.abc import Hashable, Iterable
from typing import Final, Protocol
from weakref import WeakKeyDictionary

from msgspec import Struct

from tremula.features.appservices.service import Appservice, Appservices
from tremula.features.directory.service import ALIASES_TOPIC
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import RoomAlias, UserId
from tremula.rooms.staging import StateAround
from tremula.rooms.state import MEMBER, StateMap, StateUpdate
from tremula.rooms.view import RoomView

NOBODY: Final[frozenset[str]] = frozenset()

_ALIASED_ROOMS_MAX: Final = 100_000


class RoomAliases(Protocol):
    """Knows the aliases of rooms."""

    async def aliases_of(self, room_nid: int) -> list[RoomAlias]:
        """The local aliases of a room."""
        ...


class _RoomInterest(Struct):
    """The IDs of those who are interested in a room with this ``state``; how many of
    their users are joined is counted.
    """

    state: StateMap
    by_room_id: frozenset[str]
    counts: dict[str, int]
    ids: frozenset[str] = NOBODY

    def count(self, appservice_ids: frozenset[str], change: int) -> None:
        """A user of these application services has come (1) or gone (-1)."""
        for appservice_id in appservice_ids:
            count = self.counts.pop(appservice_id, 0) + change
            if count:
                self.counts[appservice_id] = count

    def put_together(self) -> None:
        """Have ``ids`` say who is interested now."""
        self.ids = self.by_room_id.union(self.counts)


class Interests:
    """Finds who is interested in rooms. False if nobody can be in anything.

    Of whom takes no transactions, nobody need know.
    """

    def __init__(
        self, appservices: Appservices, journal: Journal, aliases: RoomAliases
    ) -> None:
        self._appservices = appservices
        self._aliases = aliases
        # Of rooms as they are written, which may be ahead of what is committed; and as
        # they are read, by the version of their members.
        self._written: WeakKeyDictionary[RoomView, _RoomInterest] = WeakKeyDictionary()
        self._read: WeakKeyDictionary[RoomView, tuple[int, frozenset[str]]] = (
            WeakKeyDictionary()
        )
        self._by_alias: dict[int, frozenset[str]] = {}
        self._has_alias_namespaces: bool | None = None
        self._changes = 0
        appservices.on_changed(lambda _: self._forget())
        journal.on_forget(self._forget)
        journal.subscribe(ALIASES_TOPIC, self._aliases_changed)

    def __bool__(self) -> bool:
        """Whether there are any application services."""
        return bool(self._appservices)

    def __len__(self) -> int:
        """Of how many rooms it is known."""
        return len(self._written) + len(self._read)

    def of_user(self, user_id: UserId) -> frozenset[str]:
        """The IDs of those whose user *user_id* is."""
        return _ids(self._appservices.of_user(user_id))

    async def in_room(self, view: RoomView) -> frozenset[str]:
        """The IDs of those who are told all that happens in a room, as it is committed.

        Goes through the members when they have changed.
        """
        await self.learn_aliases(view)
        version, found = self._read.get(view, (-1, NOBODY))
        if version != view.members_version:
            members = map(self.of_user, view.joined_members())
            found = NOBODY.union(self._by_room_id(view), *members)
            self._read[view] = (view.members_version, found)
        return found | self.by_alias(view)

    def after(
        self, view: RoomView, update: StateUpdate, around: StateAround
    ) -> frozenset[str]:
        """The IDs of those who are told all that happens in a room, after an event in
        it that makes *update*. For the process that writes to the room.
        """
        interest = self._written.get(view)
        if interest is None or interest.state is not around.before:
            interest = self._written[view] = self._interest_in(view, around.after)
        elif around.after is not around.before:
            self._follow(interest, update, around)
        return interest.ids

    def by_alias(self, view: RoomView) -> frozenset[str]:
        """Those interested in a room by its aliases, which were learned before."""
        return self._by_alias.get(view.nid, NOBODY)

    async def learn_aliases(self, view: RoomView) -> None:
        """Find out who is interested by the aliases of a room; reads them once."""
        await self._appservices.catch_up()
        if self._has_alias_namespaces is None:
            self._has_alias_namespaces = any(
                each.registration.namespaces.aliases for each in self._appservices.all()
            )
        while self._has_alias_namespaces and view.nid not in self._by_alias:
            changes = self._changes
            aliases = await self._aliases.aliases_of(view.nid)
            if changes == self._changes:
                if len(self._by_alias) >= _ALIASED_ROOMS_MAX:
                    self._by_alias.clear()
                found = map(_ids, map(self._appservices.of_alias, aliases))
                self._by_alias[view.nid] = NOBODY.union(*found)

    def _interest_in(self, view: RoomView, state: StateMap) -> _RoomInterest:
        interest = _RoomInterest(state, self._by_room_id(view), {})
        for event in state.values():
            if event.type == MEMBER and event.content["membership"] == "join":
                interest.count(self.of_user(UserId(event.state_key)), 1)
        interest.put_together()
        return interest

    def _follow(
        self, interest: _RoomInterest, update: StateUpdate, around: StateAround
    ) -> None:
        interest.state = around.after
        replaced = [(each.type, each.state_key) for each in update.replaced]
        for event_type, state_key in [*replaced, *update.removed]:
            if event_type != MEMBER:
                continue
            change = _is_joined(around.after, state_key) - _is_joined(
                around.before, state_key
            )
            if change:
                interest.count(self.of_user(UserId(state_key)), change)
        interest.put_together()

    def _by_room_id(self, view: RoomView) -> frozenset[str]:
        return _ids(self._appservices.of_room(view.room_id))

    def _aliases_changed(self, _pos: int, room_nid: Hashable, _: object) -> None:
        assert isinstance(room_nid, int)
        self._changes += 1
        self._by_alias.pop(room_nid, None)

    def _forget(self) -> None:
        self._changes += 1
        self._written.clear()
        self._read.clear()
        self._by_alias.clear()
        self._has_alias_namespaces = None


def takes_transactions(appservice: Appservice) -> bool:
    """Whether anything is kept for an application service.

    AS "Registration": its URL is "null if no traffic is required". Whoever is not
    pushed to comes for it by a websocket.
    """
    registration = appservice.registration
    return registration.url is not None or not registration.push


def _ids(appservices: Iterable[Appservice]) -> frozenset[str]:
    found = [each.id for each in appservices if takes_transactions(each)]
    return frozenset(found) if found else NOBODY


def _is_joined(state: StateMap, user_id: str) -> bool:
    event = state.get((MEMBER, user_id))
    return event is not None and event.content["membership"] == "join"
