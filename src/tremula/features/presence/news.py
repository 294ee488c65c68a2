"""What the processes of a server tell each other of who is there."""

from collections.abc import Sequence

from msgspec import Struct

from tremula.protocol.identifiers import UserId
from tremula.protocol.presence import PresenceState, Shown


class Activity(Struct, frozen=True):
    """A client of a user has said what they are, to be believed for ``hold_s``.

    ``is_set``: whatever was said before.
    """

    user_id: UserId
    state: PresenceState
    hold_s: float
    is_set: bool


class Activities(Struct, frozen=True):
    """What the process ``told_to`` heard of clients lately."""

    told_to: str
    activities: Sequence[Activity]


class OwnNews(Struct, frozen=True, tag="own"):
    """One of our users is ``shown`` in another way, by the process ``told_to``."""

    told_to: str
    shown: Shown


class RemoteNews(Struct, frozen=True, tag="remote"):
    """What the server of a user says of them."""

    state: PresenceState
    last_active_ago_ms: int
    currently_active: bool
    status_msg: str | None
    room_nids: frozenset[int]


News = OwnNews | RemoteNews
