"""A room state while it is being resolved, and what it allows."""

from collections.abc import Callable, Iterable, Mapping

from tremula.protocol.auth_rules import AuthState, auth_event_keys, check_auth
from tremula.protocol.errors import AuthRuleViolation
from tremula.protocol.events import Event
from tremula.protocol.identifiers import ServerName
from tremula.protocol.room_state import (
    CREATE,
    POWER_LEVELS,
    StateEvent,
    StateKey,
    StateLookup,
)
from tremula.protocol.room_versions import RoomVersion
from tremula.protocol.state_resolution.auth_graph import AuthGraph

# How many power levels events are kept parsed.
_PARSED_MAX = 256


class PartialState:
    """Entries that have been decided, over those of a state to start from."""

    __slots__ = ("_events", "_start", "decided")

    def __init__(
        self, graph: AuthGraph, start: Callable[[StateKey], int | None]
    ) -> None:
        self._events = graph.events
        self._start = start
        self.decided: dict[StateKey, int] = {}

    def find_nid(self, key: StateKey) -> int | None:
        """The number of the event at *key*."""
        nid = self.decided.get(key)
        return self._start(key) if nid is None else nid

    def get(self, key: StateKey, /) -> Event | None:
        """The event at *key*, unless it is not to be had."""
        nid = self.find_nid(key)
        return None if nid is None else self._events.get(nid)


class Fallback:
    """A state, and entries to be taken where it has none."""

    __slots__ = ("_entries", "_state")

    def __init__(self, state: StateLookup, entries: Mapping[StateKey, Event]) -> None:
        self._state = state
        self._entries = entries

    def get(self, key: StateKey, /) -> StateEvent | None:
        """The state's own event at *key*, or else the other."""
        event = self._state.get(key)
        return self._entries.get(key) if event is None else event


class AuthChecker:
    """Checks events against many states; reads each power levels event once."""

    __slots__ = ("_parsed", "_version")

    def __init__(self, version: RoomVersion) -> None:
        self._version = version
        self._parsed: dict[str, AuthState] = {}

    def allows(self, state: StateLookup, event: Event) -> bool:
        """Whether the authorisation rules allow *event* in *state*."""
        try:
            check_auth(
                self._version,
                event,
                self._prepared(state),
                server_signed=_signed_when_received,
            )
        except AuthRuleViolation:
            return False
        return True

    def _prepared(self, state: StateLookup) -> AuthState:
        power_levels = state.get(POWER_LEVELS)
        name = "" if power_levels is None else power_levels.event_id
        parsed = self._parsed.pop(name, None)
        if parsed is None:
            auth = AuthState(self._version, state)
        else:
            auth = parsed.advanced_to(state)
        self._parsed[name] = auth  # the last used comes last
        if len(self._parsed) > _PARSED_MAX:
            del self._parsed[next(iter(self._parsed))]
        return auth


def auth_keys(version: RoomVersion, events: Iterable[Event]) -> set[StateKey]:
    """All keys of a room state that the rules may ask for, to check *events*."""
    keys = {CREATE}
    for event in events:
        keys.update(
            auth_event_keys(
                version, event.type, event.state_key, event.sender, event.content
            )
        )
    return keys


def _signed_when_received(_: ServerName) -> bool:
    """The rule on signatures does not depend on the state.

    So an event that lacks one fails against its own auth events, and "no events
    rejected due to failure to auth against their auth chain should appear in the
    process" (RV2 "Rejected events").
    """
    return True
