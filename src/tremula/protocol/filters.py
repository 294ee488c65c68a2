"""Filters of clients: parsed once, matched often (CS "Filtering").

Absent lists are ``None`` and let everything pass; empty ones let nothing pass.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct, field

from tremula.protocol.errors import BadJson
from tremula.protocol.event_fields import EventFields

LIST_ITEMS_MAX: Final = 1_000
# An event type, sender or room ID has at most 255 bytes; a path may hold several.
STRING_CHARS_MAX: Final = 1_024
LIMIT_MAX: Final = 2**53 - 1


class EventFormat(StrEnum):
    """The shape in which events are returned."""

    CLIENT = "client"
    FEDERATION = "federation"


class TypePatterns(Struct, frozen=True):
    """Event types of which some contain ``*`` for any sequence of characters."""

    exact: frozenset[str]
    globs: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, types: Iterable[str]) -> "TypePatterns":
        """The patterns of a filter's ``types`` or ``not_types``."""
        plain, globs = set(), set()
        for pattern in types:
            if "*" in pattern:
                globs.add(tuple(pattern.split("*")))
            else:
                plain.add(pattern)
        return cls(frozenset(plain), tuple(sorted(globs)))

    def match(self, event_type: str) -> bool:
        """Whether any pattern matches; linear in the length of *event_type*."""
        return event_type in self.exact or any(
            _glob_matches(parts, event_type) for parts in self.globs
        )


def _glob_matches(parts: tuple[str, ...], text: str) -> bool:
    """Match *text* with the pattern ``"*".join(parts)`` without backtracking.

    Taking each part at its first place is enough, as only ``*`` is special.
    """
    first, *middle, last = parts
    if len(text) < len(first) + len(last):
        return False
    if not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


_NO_TYPES: Final = TypePatterns(frozenset(), ())


class EventFilter(Struct, frozen=True):
    """CS ``EventFilter``: which types and senders pass, and how many events."""

    limit: int | None = None
    types: TypePatterns | None = None
    not_types: TypePatterns = _NO_TYPES
    senders: frozenset[str] | None = None
    not_senders: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, raw: object) -> "EventFilter":
        """Parse the JSON of an event filter.

        Raises:
            BadJson: a wrong type, or a list or string past its bound.
        """
        return _event_filter(_mapping(raw, "filter"))

    def admits_type(self, event_type: str) -> bool:
        """Whether events of *event_type* pass."""
        if self.types is not None and not self.types.match(event_type):
            return False
        return not self.not_types.match(event_type)

    def admits_sender(self, sender: str) -> bool:
        """Whether events of *sender* pass."""
        if self.senders is not None and sender not in self.senders:
            return False
        return sender not in self.not_senders

    @property
    def admits_all(self) -> bool:
        """Whether every type and sender passes."""
        return (
            self.types is None
            and self.senders is None
            and self.not_types == _NO_TYPES
            and not self.not_senders
        )


class RoomSelection(Struct, frozen=True):
    """The rooms that a filter is about."""

    rooms: frozenset[str] | None = None
    not_rooms: frozenset[str] = frozenset()

    def admits(self, room_id: str) -> bool:
        """Whether the room *room_id* passes."""
        if self.rooms is not None and room_id not in self.rooms:
            return False
        return room_id not in self.not_rooms


class RoomEventFilter(Struct, frozen=True):
    """CS ``RoomEventFilter``: an `EventFilter` and what only room events have."""

    events: EventFilter = field(default_factory=EventFilter)
    rooms: RoomSelection = field(default_factory=RoomSelection)
    contains_url: bool | None = None
    lazy_load_members: bool = False
    include_redundant_members: bool = False
    unread_thread_notifications: bool = False

    @classmethod
    def parse(cls, raw: object) -> "RoomEventFilter":
        """Parse the JSON of a room event filter.

        Raises:
            BadJson: a wrong type, or a list or string past its bound.
        """
        return _room_event_filter(_mapping(raw, "filter"))

    @property
    def limit(self) -> int | None:
        """How many events to return at most, if the client says so."""
        return self.events.limit

    @property
    def admits_all(self) -> bool:
        """Whether every event of an admitted room passes."""
        return self.contains_url is None and self.events.admits_all

    def admits(self, event_type: str, sender: str, content: Mapping[str, Any]) -> bool:
        """Whether an event of an admitted room passes."""
        return (
            self.events.admits_type(event_type)
            and self.events.admits_sender(sender)
            and (self.contains_url is None or ("url" in content) is self.contains_url)
        )


class RoomFilter(Struct, frozen=True):
    """CS ``RoomFilter``: what is returned of rooms."""

    rooms: RoomSelection = field(default_factory=RoomSelection)
    include_leave: bool = False
    state: RoomEventFilter = field(default_factory=RoomEventFilter)
    timeline: RoomEventFilter = field(default_factory=RoomEventFilter)
    ephemeral: RoomEventFilter = field(default_factory=RoomEventFilter)
    account_data: RoomEventFilter = field(default_factory=RoomEventFilter)


class Filter(Struct, frozen=True):
    """CS ``Filter``, as `/sync` takes it."""

    event_fields: EventFields | None = None
    event_format: EventFormat = EventFormat.CLIENT
    presence: EventFilter = field(default_factory=EventFilter)
    account_data: EventFilter = field(default_factory=EventFilter)
    room: RoomFilter = field(default_factory=RoomFilter)

    @classmethod
    def parse(cls, raw: object) -> "Filter":
        """Parse the JSON of CS ``defineFilter``; unknown keys are ignored.

        Raises:
            BadJson: a wrong type, or a list or string past its bound.
        """
        obj = _mapping(raw, "filter")
        return cls(
            event_fields=_event_fields(obj),
            event_format=_event_format(obj),
            presence=_event_filter(_object(obj, "presence")),
            account_data=_event_filter(_object(obj, "account_data")),
            room=_room_filter(_object(obj, "room")),
        )


NO_FILTER: Final = Filter()


def _room_filter(obj: Mapping[str, Any]) -> RoomFilter:
    return RoomFilter(
        rooms=_room_selection(obj),
        include_leave=_flag(obj, "include_leave"),
        state=_room_event_filter(_object(obj, "state")),
        timeline=_room_event_filter(_object(obj, "timeline")),
        ephemeral=_room_event_filter(_object(obj, "ephemeral")),
        account_data=_room_event_filter(_object(obj, "account_data")),
    )


def _room_event_filter(obj: Mapping[str, Any]) -> RoomEventFilter:
    contains_url = obj.get("contains_url")
    return RoomEventFilter(
        events=_event_filter(obj),
        rooms=_room_selection(obj),
        contains_url=None if contains_url is None else _flag(obj, "contains_url"),
        lazy_load_members=_flag(obj, "lazy_load_members"),
        include_redundant_members=_flag(obj, "include_redundant_members"),
        unread_thread_notifications=_flag(obj, "unread_thread_notifications"),
    )


def _event_filter(obj: Mapping[str, Any]) -> EventFilter:
    types = _strings(obj, "types")
    senders = _strings(obj, "senders", sigil="@")
    return EventFilter(
        limit=_limit(obj),
        types=None if types is None else TypePatterns.of(types),
        not_types=TypePatterns.of(_strings(obj, "not_types") or ()),
        senders=None if senders is None else frozenset(senders),
        not_senders=frozenset(_strings(obj, "not_senders", sigil="@") or ()),
    )


def _room_selection(obj: Mapping[str, Any]) -> RoomSelection:
    rooms = _strings(obj, "rooms", sigil="!")
    return RoomSelection(
        rooms=None if rooms is None else frozenset(rooms),
        not_rooms=frozenset(_strings(obj, "not_rooms", sigil="!") or ()),
    )


def _event_format(obj: Mapping[str, Any]) -> EventFormat:
    raw = obj.get("event_format")
    if raw is None:
        return EventFormat.CLIENT
    try:
        return EventFormat(raw)
    except ValueError:
        raise BadJson("event_format must be client or federation") from None


def _event_fields(obj: Mapping[str, Any]) -> EventFields | None:
    paths = _strings(obj, "event_fields")
    return None if paths is None else EventFields.of(paths)


def _mapping(raw: object, what: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        raise BadJson(f"{what} must be an object")
    return raw


def _object(obj: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    raw = obj.get(key)
    return {} if raw is None else _mapping(raw, key)


def _flag(obj: Mapping[str, Any], key: str) -> bool:
    raw = obj.get(key)
    if raw is None:
        return False
    if not isinstance(raw, bool):
        raise BadJson(f"{key} must be a boolean")
    return raw


def _limit(obj: Mapping[str, Any]) -> int | None:
    raw = obj.get("limit")
    if raw is None:
        return None
    if not isinstance(raw, int) or isinstance(raw, bool):
        raise BadJson("limit must be an integer")
    if not 0 <= raw <= LIMIT_MAX:
        raise BadJson("limit must be greater than 0")
    # Clients that want nothing say 0, though the specification forbids it.
    return max(raw, 1)


def _strings(
    obj: Mapping[str, Any], key: str, *, sigil: str = ""
) -> tuple[str, ...] | None:
    raw = obj.get(key)
    if raw is None:
        return None
    if not isinstance(raw, list) or len(raw) > LIST_ITEMS_MAX:
        raise BadJson(f"{key} must be a list of at most {LIST_ITEMS_MAX} strings")
    for item in raw:
        if not isinstance(item, str) or len(item) > STRING_CHARS_MAX:
            raise BadJson(f"{key} must hold strings of {STRING_CHARS_MAX} at most")
        if not item.startswith(sigil):
            raise BadJson(f"{key} must hold IDs that start with {sigil}")
    return tuple(raw)
