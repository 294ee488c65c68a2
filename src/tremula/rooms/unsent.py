"""Events that are made for a room but not stored: another server has to sign first.

That is a template for a user of that server (SS "Joining Rooms"), or an invitation of
one of them (SS "Inviting to a room").
"""

from typing import Any, Final

from tremula.infra.clock import Clock
from tremula.infra.slots import CallTypes, Slots
from tremula.protocol.auth_rules import check_auth
from tremula.protocol.auth_selection import auth_event_keys
from tremula.protocol.errors import AuthRuleViolation, NotFound
from tremula.protocol.event_building import event_links
from tremula.protocol.events import BuiltEvent, Event
from tremula.protocol.identifiers import EventId, RoomId
from tremula.rooms.events import Draft
from tremula.rooms.policing import Policing
from tremula.rooms.refusing import refusal
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.room import Room

_TEMPLATES: Final = "room_template"
_INVITATIONS: Final = "room_invitation"

TEMPLATE_CALLS: Final = CallTypes(Draft, dict[str, Any])
INVITATION_CALLS: Final = CallTypes(Draft, BuiltEvent)


class UnsentEvents:
    """Makes such events where the room's slot is held, since they follow its head."""

    def __init__(
        self, registry: RoomRegistry, slots: Slots, clock: Clock, policing: Policing
    ) -> None:
        self._registry = registry
        self._policing = policing
        self._slots = slots
        self._clock = clock
        slots.register(_TEMPLATES, self._make_template, TEMPLATE_CALLS)
        slots.register(_INVITATIONS, self._build, INVITATION_CALLS)

    async def template(self, room_id: RoomId, draft: Draft) -> dict[str, Any]:
        """An unsigned event that a remote user may complete, as JSON.

        Raises:
            NotFound: this server knows no such room.
            Forbidden: the authorisation rules would refuse the event.
        """
        template: dict[str, Any] = await self._slots.call(_TEMPLATES, room_id, draft)
        return template

    async def build(self, room_id: RoomId, draft: Draft) -> BuiltEvent:
        """A complete event of one of our own users, signed by this server, and by the
        room's policy server.

        Raises:
            NotFound: this server knows no such room.
            Forbidden: the authorisation rules refuse the event.
            TooLarge: the event is past the size limits.
            BadJson: its content cannot be an event's.
            MatrixError: the policy server refuses it, or can't be asked.
        """
        built: BuiltEvent = await self._slots.call(_INVITATIONS, room_id, draft)
        return built

    async def _make_template(self, room_id: str, draft: Draft) -> dict[str, Any]:
        room = await self._get_room(room_id)
        event = _following(room, draft, now_ms=self._clock.now_ms())
        _check_allowed(room, event)
        return {
            "type": event.type,
            "room_id": event.room_id,
            "sender": event.sender,
            "state_key": event.state_key,
            "content": event.content,
            "depth": event.depth,
            "prev_events": event_links(room.version, event.prev_events),
            "auth_events": event_links(room.version, event.auth_events),
            "origin": room.own.name,
            "origin_server_ts": event.origin_server_ts,
        }

    async def _build(self, room_id: str, draft: Draft) -> BuiltEvent:
        room = await self._get_room(room_id)
        built = room.build(room.head, draft, self._clock.now_ms())
        _check_allowed(room, built.event)
        return await self._policing.signed(room, built)

    async def _get_room(self, room_id: str) -> Room:
        room = await self._registry.find(RoomId(room_id))
        if room is None:
            raise NotFound("Unknown room.")
        return room


def _following(room: Room, draft: Draft, *, now_ms: int) -> Event:
    """The event that *draft* makes after the head, without an ID."""
    head = room.head
    keys = auth_event_keys(
        room.version, draft.type, draft.state_key, draft.sender, draft.content
    )
    auth_events = [
        entry.event_id for key in keys if (entry := head.state.get(key)) is not None
    ]
    return Event(
        event_id=EventId(""),
        room_id=room.view.room_id,
        type=draft.type,
        sender=draft.sender,
        state_key=draft.state_key,
        content=draft.content,
        origin_server_ts=now_ms,
        depth=min(head.depth + 1, room.version.depth_max),
        prev_events=tuple(each.event_id for each in head.extremities),
        auth_events=tuple(auth_events),
        redacts=None,
    )


def _check_allowed(room: Room, event: Event) -> None:
    try:
        check_auth(room.version, event, room.head.auth, server_signed=room.own.is_named)
    except AuthRuleViolation as error:
        raise refusal(error, event.room_id, event_type=event.type) from error
