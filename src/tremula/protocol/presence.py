"""When a user counts as online, idle or offline (CS "Presence")."""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from tremula.protocol.errors import InvalidParam

# "The server will automatically set a user's presence to unavailable if their last
# active time was over a threshold value (e.g. 5 minutes)."
IDLE_AFTER_S: Final = 300.0
# How long after some activity a user is shown as active without further updates.
ACTIVE_FOR_S: Final = 60.0


class PresenceState(StrEnum):
    """The value of the ``presence`` key."""

    ONLINE = "online"
    UNAVAILABLE = "unavailable"
    OFFLINE = "offline"


def parse_presence_state(raw: str) -> PresenceState:
    """Validate ``set_presence`` of CS ``sync``.

    Raises:
        InvalidParam: it is none of the three states.
    """
    try:
        return PresenceState(raw)
    except ValueError:
        raise InvalidParam(f"unknown presence {raw!r}") from None


class Shown(Struct, frozen=True):
    """What others see of a user's presence, but for times and texts."""

    state: PresenceState
    currently_active: bool = False


class LivePresence(Struct):
    """What is known of one user, in seconds of a monotonic clock.

    Each client says again and again that it is connected, or connected and idle. The
    user is as present as the most present of them.
    """

    online_until_s: float = 0.0
    idle_until_s: float = 0.0
    last_active_s: float = 0.0

    def shown(self, now_s: float) -> Shown:
        """What others see at *now_s*."""
        idle_s = now_s - self.last_active_s
        if now_s < self.online_until_s and idle_s < IDLE_AFTER_S:
            return Shown(PresenceState.ONLINE, currently_active=idle_s < ACTIVE_FOR_S)
        if now_s < max(self.online_until_s, self.idle_until_s):
            return Shown(PresenceState.UNAVAILABLE)
        return Shown(PresenceState.OFFLINE)

    def connected(self, state: PresenceState, *, now_s: float, hold_s: float) -> None:
        """A client is connected in *state* for at least *hold_s*.

        Coming from offline is an activity, staying connected is not.
        """
        if state is PresenceState.OFFLINE:
            return
        if self.shown(now_s).state is PresenceState.OFFLINE:
            self.last_active_s = now_s
        until_s = now_s + hold_s
        if state is PresenceState.ONLINE:
            self.online_until_s = max(self.online_until_s, until_s)
        else:
            self.idle_until_s = max(self.idle_until_s, until_s)

    def active(self, *, now_s: float, hold_s: float) -> None:
        """The user has done something, which makes them online."""
        self.last_active_s = now_s
        self.online_until_s = max(self.online_until_s, now_s + hold_s)

    def set(self, state: PresenceState, *, now_s: float, hold_s: float) -> None:
        """The user says what they are, whatever the clients said before."""
        self.last_active_s = now_s
        self.online_until_s = self.idle_until_s = 0.0
        if state is PresenceState.ONLINE:
            self.online_until_s = now_s + hold_s
        elif state is PresenceState.UNAVAILABLE:
            self.idle_until_s = now_s + hold_s
