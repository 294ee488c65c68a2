"""What the next event of a room is built upon, and how it is."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tremula.protocol.auth_selection import auth_event_keys
from tremula.protocol.auth_state import AuthState
from tremula.protocol.errors import Forbidden
from tremula.protocol.events import BuiltEvent, Event, EventDraft, build_event
from tremula.protocol.identifiers import EventId, parse_user_id
from tremula.protocol.local_events import build_local_event
from tremula.protocol.room_state import CREATE
from tremula.protocol.room_versions import RoomVersion
from tremula.protocol.signing import LateKey
from tremula.rooms.events import Draft, new_local_event_id
from tremula.rooms.graph import PREV_EVENTS_CITED_MAX, Extremity
from tremula.rooms.staging import OwnServer
from tremula.rooms.state import MEMBER, StateMap
from tremula.rooms.view import RoomView

_MEMBERSHIPS: Final = frozenset({"join", "invite", "knock", "leave", "ban"})


class Head(Struct, frozen=True):
    """What the next event is built upon.

    ``is_recorded``: the extremities are not just the newest live event, and so are
    rows in the database.
    """

    auth: AuthState
    state: StateMap
    extremities: tuple[Extremity, ...]
    room_pos: int
    is_recorded: bool = False

    @property
    def federates(self) -> bool:
        """Whether other servers may ever see the room."""
        create = self.state.get(CREATE)
        return create is None or create.content.get("m.federate") is not False

    @property
    def depth(self) -> int:
        """That of the deepest extremity."""
        if len(self.extremities) == 1:
            return self.extremities[0].depth
        return max((each.depth for each in self.extremities), default=0)


def event_after(
    head: Head,
    view: RoomView,
    draft: Draft,
    own: OwnServer,
    *,
    now_ms: int,
    is_signed: bool = True,
    auth_events: Sequence[EventId] | None = None,
) -> BuiltEvent:
    """The event that *draft* makes after *head*, in a room of which *view* need not be
    up to date. Unless it *is_signed*, that has yet to be done. Its *auth_events* are
    looked up unless they are known.

    Raises:
        TooLarge: the event is past the size limits.
        BadJson: its content cannot be an event's.
        Forbidden: its ID is chosen, and the room may federate.
    """
    version = view.version
    is_hash = version.room_id_is_create_hash and draft.type == "m.room.create"
    event = EventDraft(
        # RV12: the create event has no room_id, its own hash becomes the room's.
        room_id=None if is_hash else view.room_id,
        type=draft.type,
        sender=draft.sender,
        state_key=draft.state_key,
        content=draft.content,
        origin_server_ts=(
            now_ms if draft.origin_server_ts is None else draft.origin_server_ts
        ),
        redacts=draft.redacts,
    )
    depth = min(head.depth + 1, version.depth_max)
    prev_events = [each.event_id for each in head.extremities]
    if not head.federates:
        return build_local_event(
            version,
            event,
            event_id=draft.event_id or new_local_event_id(version, own.name),
            depth=depth,
            prev_events=prev_events,
        )
    if draft.event_id is not None:
        raise Forbidden("In a room that may federate, no event ID can be chosen")
    assert len(prev_events) <= PREV_EVENTS_CITED_MAX
    return build_event(
        version,
        event,
        prev_events=prev_events,
        auth_events=(
            _auth_events(head, version, draft) if auth_events is None else auth_events
        ),
        depth=depth,
        signing_key=own.key if is_signed else LateKey(own.key.key_id),
    )


def _auth_events(head: Head, version: RoomVersion, draft: Draft) -> list[EventId]:
    keys = auth_event_keys(
        version, draft.type, draft.state_key, draft.sender, draft.content
    )
    found = map(head.state.get, keys)
    return [entry.event_id for entry in found if entry is not None]


def check_forced(head: Head, event: Event) -> None:
    """See to what the rules would have: *event* is forced upon a room.

    Raises:
        Forbidden: it changes more than a membership, or the room may federate.
        InvalidParam: the membership is nobody's.
    """
    if head.federates:
        raise Forbidden("In a room that may federate, the room's rules count for all")
    if event.type != MEMBER or event.content.get("membership") not in _MEMBERSHIPS:
        raise Forbidden("Only memberships can be changed against a room's rules")
    parse_user_id(event.state_key)
