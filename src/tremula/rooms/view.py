"""A room as it is committed: what readers may show."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import count
from typing import Any, Final

from tremula.protocol.auth_state import AuthState
from tremula.protocol.history_visibility import HistoryVisibility
from tremula.protocol.identifiers import RoomId, ServerName, UserId, server_of
from tremula.protocol.power_levels import PowerLevels
from tremula.protocol.room_state import (
    CREATE,
    HISTORY_VISIBILITY,
    SERVER_ACL,
    StateKey,
    member_key,
)
from tremula.protocol.room_versions import RoomVersion
from tremula.protocol.server_acl import ServerAcl
from tremula.rooms.events import StoredEvent
from tremula.rooms.partial import PartialState
from tremula.rooms.state import (
    MEMBER,
    Members,
    StateEvent,
    StateMap,
    StateUpdate,
)

HISTORY_FROM_POS: Final = 2**20
HISTORY_END_POS: Final = 2**24
"""Between these positions a room that doesn't federate has history that was brought
later: after the events that it was created with, before all that came since.
"""

_HISTORIES_MAX: Final = 512

_members_versions = count(1)

# (room_pos, value) of each change of a state key, oldest first.
# Grows with the room; `protocol.history_visibility.History` is its reader's view.
History = list[tuple[int, str]]


class RoomView:
    """The committed state of a room, kept up to date as events are committed.

    Between two awaits it does not change. ``state`` is immutable: take it once
    where you read over an await.
    """

    __slots__ = (
        "__weakref__",
        "_acl",
        "_auth",
        "_members",
        "completed_pos",
        "histories",
        "members_version",
        "nid",
        "other_state",
        "partial",
        "room_id",
        "room_pos",
        "state",
        "state_pos",
        "version",
    )

    def __init__(
        self,
        *,
        nid: int,
        room_id: RoomId,
        version: RoomVersion,
        state: StateMap,
        room_pos: int,
    ) -> None:
        self.nid = nid
        self.room_id = room_id
        self.version = version
        # What is known of the state if members are missing.
        self.partial: PartialState | None = None
        # Until this journal position some were; 0 if never.
        self.completed_pos = 0
        # With the event that it was read from.
        self._acl: tuple[StateEvent, ServerAcl] | None = None
        self.reset(state, room_pos)

    def reset(self, state: StateMap, room_pos: int) -> None:
        """Take *state* over, whatever was known before."""
        self.state = state
        self.room_pos = room_pos
        # Since this position the state has not changed; it may be for longer.
        self.state_pos = room_pos
        # The values that histories of single keys had, for visibility.
        self.histories: dict[StateKey, History] = {}
        self._auth = AuthState(self.version, state)
        also = self.partial.servers if self.partial else ()
        self._members = Members(state, also=also)
        # Another one after each change of members, and whenever the room is loaded.
        self.members_version = next(_members_versions)
        # The state but its members: a handful of events in a room of any size.
        self.other_state = {
            (event.type, event.state_key): event
            for event in state.values()
            if event.type != MEMBER
        }

    def become_partial(self, partial: PartialState | None) -> None:
        """Members are missing, so that other servers are in the room than they say; or
        they are not, if *partial* is None.
        """
        self.partial = partial
        self.reset(self.state, self.room_pos)

    def become_complete(self, state: StateMap, room_pos: int, *, pos: int) -> None:
        """All of the state has come to be known, at the journal position *pos*."""
        self.partial = None
        self.completed_pos = pos
        self.reset(state, room_pos)

    @property
    def create(self) -> StateEvent:
        """The create event."""
        create = self.state.get(CREATE)
        assert create is not None, f"{self.room_id} has no create event"
        return create

    @property
    def auth(self) -> AuthState:
        """The state as the authorisation rules read it."""
        return self._auth

    @property
    def power_levels(self) -> PowerLevels:
        """The power levels in force; parsed once a change."""
        return self._auth.power_levels

    @property
    def join_rule(self) -> str | None:
        """The join rule; None if the room's is malformed."""
        return self._auth.join_rule

    @property
    def history_visibility(self) -> str:
        """Who may see what is sent now; ``shared`` where nothing valid is set."""
        event = self.state.get(HISTORY_VISIBILITY)
        return HistoryVisibility.of(event.content if event else None)

    @property
    def is_shared(self) -> bool:
        """Whether members may see what was said before they came."""
        return self.history_visibility in {"shared", "world_readable"}

    def membership(self, user_id: UserId) -> str | None:
        """*user_id*'s membership, if there has ever been one."""
        return self._auth.membership(user_id)

    def knows(self, user_id: UserId) -> bool:
        """Whether it is known what *user_id* is to the room, be it nothing: while the
        state is partial, that is so of few.
        """
        return self.partial is None or member_key(user_id) in self.state

    def is_joined(self, user_id: UserId) -> bool:
        """Whether *user_id* is joined."""
        return user_id in self._members.of("join")

    def content_of(self, event_type: str, state_key: str = "") -> dict[str, Any] | None:
        """The content of a state event; of members the membership only."""
        event = self.state.get((event_type, state_key))
        return event.content if event else None

    def joined_members(self) -> AbstractSet[UserId]:
        """The joined users: the live set, which later commits change."""
        return self._members.of("join")

    def members(self, membership: str) -> AbstractSet[UserId]:
        """The users of one membership: the live set."""
        return self._members.of(membership)

    @property
    def joined_servers(self) -> Mapping[ServerName, int]:
        """How many users of each server are joined: live, as the commits change it.

        While the state is partial, one more of each server that was told.
        """
        return self._members.servers

    @property
    def is_federated(self) -> bool:
        """Whether users of other servers than the creator's may take part."""
        # Only `false` forbids it: what is no boolean is as good as absent.
        return self.create.content.get("m.federate") is not False

    def admits(self, server_name: ServerName) -> bool:
        """Whether *server_name* may take part, as far as the room itself decides.

        That is by its server ACL (SS "Server Access Control Lists (ACLs)") and by
        ``m.federate``.
        """
        if not self.is_federated and server_name != server_of(self.create.sender):
            return False
        event = self.state.get(SERVER_ACL)
        if event is None:
            return True
        if self._acl is None or self._acl[0] is not event:
            self._acl = (event, ServerAcl.of(event.content))
        return self._acl[1].allows(server_name)

    @property
    def joined_count(self) -> int:
        """How many users are joined."""
        return len(self._members.of("join"))

    @property
    def invited_count(self) -> int:
        """How many users are invited."""
        return len(self._members.of("invite"))

    def apply(
        self, room_pos: int, update: StateUpdate, *, after: StateMap | None = None
    ) -> None:
        """Take over an event that was just committed, and what it changes.

        *after* is the state that it has made, if somebody has that already.
        """
        self.room_pos = room_pos
        if update.replaced or update.removed:
            self.state_pos = room_pos
        for event in update.replaced:
            key = (event.type, event.state_key)
            self._count_member(key, event)
            if event.type != MEMBER:
                self.other_state[key] = event
            self._extend_history(key, room_pos, event)
        for key in update.removed:
            self._count_member(key, None)
            self.other_state.pop(key, None)
            self._extend_history(key, room_pos, None)
        self._take_state(self.state.updated(update) if after is None else after)

    def _take_state(self, state: StateMap) -> None:
        if state is not self.state:
            self.state = state
            self._auth = self._auth.advanced_to(state)

    def reach(self, room_pos: int) -> None:
        """There may be events up to *room_pos*, none of which changes the state."""
        self.room_pos = max(self.room_pos, room_pos)

    def _count_member(self, key: StateKey, event: StateEvent | None) -> None:
        if key[0] != MEMBER:
            return
        before = self.state.get(key)
        self.members_version = next(_members_versions)
        self._members.move(
            UserId(key[1]),
            before=before.content["membership"] if before else None,
            after=event.content["membership"] if event else None,
        )

    def _extend_history(
        self, key: StateKey, room_pos: int, event: StateEvent | None
    ) -> None:
        history = self.histories.get(key)
        if history is not None:
            history.append((room_pos, history_value(key, event)))

    def replace_state(self, event: StateEvent) -> None:
        """Put *event* in the place of its key, as a redaction does too."""
        if event.type != MEMBER:
            self.other_state[event.type, event.state_key] = event
        self._take_state(self.state.with_event(event))

    def forget_histories(self) -> None:
        """Older changes have come to be known; who reads them now need not remember."""
        self.histories = {}

    def remember_history(self, key: StateKey, history: History) -> None:
        """Keep the history of a key, and keep it up to date."""
        if len(self.histories) >= _HISTORIES_MAX:
            self.histories.clear()
        self.histories[key] = history


def history_value(key: StateKey, event: StateEvent | StoredEvent | None) -> str:
    """What a history keeps of a key's event: the membership or the visibility."""
    if key[0] == MEMBER:
        return "leave" if event is None else str(event.content.get("membership"))
    return HistoryVisibility.of(event.content if event else None)
