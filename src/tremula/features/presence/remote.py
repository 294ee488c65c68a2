"""Presence of users of other servers: what those said last, in memory only."""

from collections import OrderedDict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from msgspec import Struct

from tremula.features.presence.news import RemoteNews
from tremula.infra.clock import Clock
from tremula.protocol.identifiers import UserId
from tremula.protocol.presence import PresenceState

_USERS_MAX: Final = 20_000
# Servers repeat now and then what is still so; who is silent has gone.
_BELIEVED_S: Final = 30 * 60.0


class RemoteUser(Struct, frozen=True):
    """What a user's server said, when, and in which of our rooms the user is."""

    state: PresenceState
    last_active_s: float
    currently_active: bool
    status_msg: str | None
    room_nids: frozenset[int]
    said_s: float


class RemotePresence:
    """The users of other servers of whom something is known, the latest ones only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._users: OrderedDict[UserId, RemoteUser] = OrderedDict()

    def put(self, user_id: UserId, news: RemoteNews) -> None:
        """Take over what is new of a user."""
        now_s = self._clock.monotonic_s()
        self._users[user_id] = RemoteUser(
            state=news.state,
            last_active_s=now_s - news.last_active_ago_ms / 1000,
            currently_active=news.currently_active,
            status_msg=news.status_msg,
            room_nids=news.room_nids,
            said_s=now_s,
        )
        self._users.move_to_end(user_id)
        if len(self._users) > _USERS_MAX:
            self._users.popitem(last=False)

    @property
    def users(self) -> AbstractSet[UserId]:
        """Those of whom something is known."""
        return self._users.keys()

    def room_nids(self, user_id: UserId) -> frozenset[int]:
        """The rooms that *user_id* was in when last heard of."""
        user = self._users.get(user_id)
        return user.room_nids if user else frozenset()

    def content(self, user_id: UserId) -> Mapping[str, Any] | None:
        """The content of the ``m.presence`` event of a user, if they are known."""
        user = self._users.get(user_id)
        if user is None:
            return None
        now_s = self._clock.monotonic_s()
        is_believed = now_s - user.said_s < _BELIEVED_S
        state = user.state if is_believed else PresenceState.OFFLINE
        content: dict[str, Any] = {
            "presence": state.value,
            "last_active_ago": max(0, int((now_s - user.last_active_s) * 1000)),
        }
        if state is PresenceState.ONLINE:
            content["currently_active"] = user.currently_active
        if user.status_msg is not None:
            content["status_msg"] = user.status_msg
        return content
