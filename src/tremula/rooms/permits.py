"""The events of a room that its state allows."""

from typing import Final

from tremula.protocol.auth_rules import check_auth, is_judged_by_sender
from tremula.protocol.events import BuiltEvent, Event
from tremula.protocol.identifiers import EventId, UserId
from tremula.rooms.events import Draft
from tremula.rooms.heads import Head, check_forced, event_after
from tremula.rooms.staging import OwnServer
from tremula.rooms.state import StateMap
from tremula.rooms.view import RoomView

_SENDERS_MAX: Final = 1_000


class Permits:
    """Which messages the state of a room allows, and the auth events that say so.

    Both are the same for all messages of a type by one sender, and so are found out
    once for as long as the state stays what it is.
    """

    __slots__ = ("_auth_events", "_state")

    def __init__(self) -> None:
        self._state: StateMap | None = None
        self._auth_events: dict[tuple[UserId, str], tuple[EventId, ...]] = {}

    def event_after(
        self,
        head: Head,
        view: RoomView,
        draft: Draft,
        own: OwnServer,
        *,
        now_ms: int,
        is_signed: bool,
    ) -> BuiltEvent:
        """See `event_after` in `heads`; the event is allowed.

        Raises:
            AuthRuleViolation: a rule refuses it.
            TooLarge: it is past the size limits.
            BadJson: its content cannot be an event's.
            Forbidden: its ID is chosen, or it is forced, and may not be.
        """
        if self._state is not head.state:
            self._state, self._auth_events = head.state, {}
        known = self.find(draft)
        built = event_after(
            head,
            view,
            draft,
            own,
            now_ms=now_ms,
            is_signed=is_signed,
            auth_events=known,
        )
        if draft.is_forced:
            check_forced(head, built.event)
        elif known is None:
            check_auth(view.version, built.event, head.auth, server_signed=own.is_named)
            self.note(built.event)
        return built

    def find(self, draft: Draft) -> tuple[EventId, ...] | None:
        """The auth events of *draft*, if it is known to be allowed."""
        if draft.state_key is not None:
            return None
        return self._auth_events.get((draft.sender, draft.type))

    def note(self, event: Event) -> None:
        """*event* has been found to be allowed."""
        if not is_judged_by_sender(event.type, event.state_key):
            return
        if len(self._auth_events) >= _SENDERS_MAX:
            self._auth_events.clear()
        self._auth_events[event.sender, event.type] = event.auth_events
