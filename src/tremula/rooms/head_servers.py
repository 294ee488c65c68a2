"""The servers in a room as it is written, which may be ahead of what is committed."""

from collections.abc import Collection
from typing import Final

from msgspec import Struct

from tremula.protocol.identifiers import ServerName, server_of
from tremula.rooms.events import StoredEvent
from tremula.rooms.state import MEMBER, NO_UPDATE, Members, StateMap, StateUpdate


class ServerChanges(Struct, frozen=True):
    """The servers that have ``come`` into a room, and those that have ``gone``."""

    come: frozenset[ServerName] = frozenset()
    gone: frozenset[ServerName] = frozenset()


NO_SERVER_CHANGES: Final = ServerChanges()


class HeadServers(Struct):
    """How many users of each server are joined."""

    counts: dict[ServerName, int]

    @classmethod
    def of(cls, state: StateMap, also: Collection[ServerName] = ()) -> "HeadServers":
        """Those of *state*, and *also* some; scans it."""
        return cls(Members(state, also=also).servers)

    def has_others(self, own: ServerName) -> bool:
        """Whether servers beside *own* are in the room."""
        return len(self.counts) > (own in self.counts)

    def since(self, before: "HeadServers") -> ServerChanges:
        """Who may have come since *before*, and who has gone."""
        return ServerChanges(
            come=frozenset(self.counts),
            gone=frozenset(before.counts.keys() - self.counts.keys()),
        )

    def follow(self, state: StateMap, update: StateUpdate) -> ServerChanges:
        """Take over what *update* changes of *state*; who has come or gone by it."""
        if update is NO_UPDATE:
            return NO_SERVER_CHANGES
        members = update.members
        if not members:
            return NO_SERVER_CHANGES
        concerned = frozenset(map(server_of, members))
        before = concerned & self.counts.keys()
        for user_id, membership in members.items():
            self._move(state, user_id, is_joined=membership == "join")
        after = concerned & self.counts.keys()
        if after == before:
            return NO_SERVER_CHANGES
        return ServerChanges(come=after - before, gone=before - after)

    def _move(self, state: StateMap, user_id: str, *, is_joined: bool) -> None:
        before = state.get((MEMBER, user_id))
        was_joined = before is not None and before.content["membership"] == "join"
        server_name = server_of(user_id)
        count = self.counts.get(server_name, 0) + is_joined - was_joined
        if count > 0:
            self.counts[server_name] = count
        else:
            self.counts.pop(server_name, None)


def recipients(
    servers: Collection[ServerName], stored: StoredEvent, own: ServerName
) -> frozenset[ServerName]:
    """Who is to be sent *stored*, after which *servers* are in the room."""
    return frozenset({*servers, *_removed(stored)}.difference(_have_it(stored, own)))


def has_recipients(
    servers: Collection[ServerName], stored: StoredEvent, own: ServerName
) -> bool:
    """Whether there are any; looks at three servers at most."""
    if stored.type != MEMBER and len(servers) == 1 and own in servers:
        # As in most rooms.
        return False
    have_it = _have_it(stored, own)
    for each in servers:
        if each not in have_it:
            return True
    return any(each not in have_it for each in _removed(stored))


def _have_it(stored: StoredEvent, own: ServerName) -> tuple[ServerName, ...]:
    return own, server_of(stored.sender)


def _removed(stored: StoredEvent) -> tuple[ServerName, ...]:
    """The server of whoever leaves is to know, be it there any more or not."""
    if stored.type == MEMBER and stored.content.get("membership") in {"leave", "ban"}:
        return (server_of(stored.state_key or ""),)
    return ()
