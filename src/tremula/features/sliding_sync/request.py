"""The request of MSC4186, parsed and within bounds."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from tremula.features.sliding_sync.required_state import RequiredState, RoomConfig
from tremula.infra.cache import ByteLRU
from tremula.infra.http import UserRequest
from tremula.infra.tokens import StreamToken
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import RoomId, UserId, parse_room_id

LISTS_MAX: Final = 100
RANGES_MAX: Final = 100
SUBSCRIPTIONS_MAX: Final = 1_000
REQUIRED_STATE_MAX: Final = 500
TIMELINE_LIMIT_MAX: Final = 100
FILTER_ITEMS_MAX: Final = 500
CONN_ID_CHARS_MAX: Final = 255
LIST_KEY_CHARS_MAX: Final = 255
TXN_ID_CHARS_MAX: Final = 255

_TIMELINE_LIMIT_DEFAULT: Final = 10
_PARSED_BYTES: Final = 8 * 1024 * 1024
_PARSED_TIMES: Final = 6


class ListFilters(Struct, frozen=True):
    """``filters`` of a list; what is None lets all rooms pass."""

    is_dm: bool | None = None
    spaces: frozenset[str] | None = None
    is_encrypted: bool | None = None
    is_invite: bool | None = None
    room_types: frozenset[str | None] | None = None
    not_room_types: frozenset[str | None] = frozenset()
    room_name_like: str | None = None
    tags: frozenset[str] | None = None
    not_tags: frozenset[str] = frozenset()


class WantedList(Struct, frozen=True):
    """A list; ``ranges`` None means all of its rooms."""

    config: RoomConfig
    ranges: tuple[tuple[int, int], ...] | None
    filters: ListFilters | None


class Scope(Struct, frozen=True):
    """Which rooms an extension is about; None or ``*``: those of all lists, and all
    subscriptions.
    """

    lists: frozenset[str] | None = None
    rooms: frozenset[str] | None = None


class WantedExtensions(Struct, frozen=True):
    """The extensions that are asked for; those of rooms by their scope."""

    to_device: bool = False
    to_device_limit: int = 100
    e2ee: bool = False
    account_data: Scope | None = None
    receipts: Scope | None = None
    typing: Scope | None = None
    thread_subscriptions: int = 0


class Wanted(Struct, frozen=True):
    """What a client asks for, poll after poll."""

    lists: Mapping[str, WantedList]
    subscriptions: Mapping[RoomId, RoomConfig]
    extensions: WantedExtensions


class SlidingBody(Struct, frozen=True):
    """The body of a request."""

    wanted: Wanted
    conn_id: str
    txn_id: str | None
    to_device_since: StreamToken | None
    """Up to where the device has its messages."""


class _Config(Struct):
    timeline_limit: int = _TIMELINE_LIMIT_DEFAULT
    required_state: list[tuple[str, str]] = field(default_factory=list)


class _Filters(Struct):
    is_dm: bool | None = None
    spaces: list[str] | None = None
    is_encrypted: bool | None = None
    is_invite: bool | None = None
    room_types: list[str | None] | None = None
    not_room_types: list[str | None] | None = None
    room_name_like: str | None = None
    tags: list[str] | None = None
    not_tags: list[str] | None = None


class _List(_Config):
    ranges: list[tuple[int, int]] | None = None
    slow_get_all_rooms: bool = False
    filters: _Filters | None = None


class _Extension(Struct):
    enabled: bool | None = None
    lists: list[str] | None = None
    rooms: list[str] | None = None


class _ToDevice(Struct):
    enabled: bool | None = None
    limit: int = 100
    since: str | None = None


class _Limited(Struct):
    enabled: bool | None = None
    limit: int = 100


class _Extensions(Struct):
    to_device: _ToDevice | None = None
    e2ee: _Extension | None = None
    account_data: _Extension | None = None
    receipts: _Extension | None = None
    typing: _Extension | None = None
    thread_subscriptions: _Limited | None = field(
        default=None, name="io.element.msc4308.thread_subscriptions"
    )


class _Body(Struct):
    conn_id: str = ""
    txn_id: str | None = None
    lists: dict[str, _List] = field(default_factory=dict)
    room_subscriptions: dict[str, _Config] = field(default_factory=dict)
    extensions: _Extensions = field(default_factory=_Extensions)


class Bodies:
    """Parses bodies; a client sends the same one again and again."""

    def __init__(self) -> None:
        self.cache: ByteLRU[tuple[UserId, bytes], SlidingBody] = ByteLRU(_PARSED_BYTES)
        """Of those that came lately."""

    def parse(self, request: UserRequest) -> SlidingBody:
        """The body of *request*.

        Raises:
            NotJson, BadJson: it is not what MSC4186 describes.
            InvalidParam: a value is out of bounds.
        """
        key = (request.user_id, request.raw_body)
        parsed = self.cache.get(key)
        if parsed is None:
            parsed = _parsed(request.body(_Body), request.user_id)
            self.cache.put(key, parsed, 500 + _PARSED_TIMES * len(request.raw_body))
        return parsed


def _parsed(body: _Body, user_id: UserId) -> SlidingBody:
    _check(len(body.conn_id) <= CONN_ID_CHARS_MAX, "conn_id is too long")
    _check(len(body.txn_id or "") <= TXN_ID_CHARS_MAX, "txn_id is too long")
    _check(len(body.lists) <= LISTS_MAX, "there are too many lists")
    _check(
        len(body.room_subscriptions) <= SUBSCRIPTIONS_MAX,
        "there are too many room subscriptions",
    )
    to_device = body.extensions.to_device
    since = to_device.since if to_device and to_device.enabled else None
    return SlidingBody(
        Wanted(
            {name: _list(name, each, user_id) for name, each in body.lists.items()},
            {
                parse_room_id(room_id): _config(each, user_id)
                for room_id, each in body.room_subscriptions.items()
            },
            _extensions(body.extensions),
        ),
        body.conn_id,
        body.txn_id,
        StreamToken.parse(since) if since else None,
    )


def _config(raw: _Config, user_id: UserId) -> RoomConfig:
    _check(raw.timeline_limit >= 0, "a timeline_limit is negative")
    _check(
        len(raw.required_state) <= REQUIRED_STATE_MAX, "a required_state is too long"
    )
    return RoomConfig(
        min(raw.timeline_limit, TIMELINE_LIMIT_MAX),
        RequiredState.of(raw.required_state, user_id),
    )


def _list(name: str, raw: _List, user_id: UserId) -> WantedList:
    _check(len(name) <= LIST_KEY_CHARS_MAX, "a list's key is too long")
    ranges = None
    if raw.ranges is not None and not raw.slow_get_all_rooms:
        _check(len(raw.ranges) <= RANGES_MAX, "a list has too many ranges")
        for first, last in raw.ranges:
            _check(0 <= first <= last, "a range must be [first, last], from 0 on")
        ranges = tuple(raw.ranges)
    filters = None if raw.filters is None else _filters(raw.filters)
    return WantedList(_config(raw, user_id), ranges, filters)


def _filters(raw: _Filters) -> ListFilters:
    for items in (
        raw.spaces,
        raw.room_types,
        raw.not_room_types,
        raw.tags,
        raw.not_tags,
    ):
        _check(len(items or ()) <= FILTER_ITEMS_MAX, "a filter has too many items")
    return ListFilters(
        is_dm=raw.is_dm,
        spaces=None if raw.spaces is None else frozenset(raw.spaces),
        is_encrypted=raw.is_encrypted,
        is_invite=raw.is_invite,
        room_types=None if raw.room_types is None else frozenset(raw.room_types),
        not_room_types=frozenset(raw.not_room_types or ()),
        room_name_like=raw.room_name_like.casefold() if raw.room_name_like else None,
        tags=None if raw.tags is None else frozenset(raw.tags),
        not_tags=frozenset(raw.not_tags or ()),
    )


def _extensions(raw: _Extensions) -> WantedExtensions:
    to_device, threads = raw.to_device, raw.thread_subscriptions
    for limited in (to_device, threads):
        _check(limited is None or limited.limit > 0, "a limit must be positive")
    return WantedExtensions(
        to_device=to_device is not None and bool(to_device.enabled),
        to_device_limit=to_device.limit if to_device else 0,
        e2ee=raw.e2ee is not None and bool(raw.e2ee.enabled),
        account_data=_scope(raw.account_data),
        receipts=_scope(raw.receipts),
        typing=_scope(raw.typing),
        thread_subscriptions=threads.limit if threads and threads.enabled else 0,
    )


def _scope(raw: _Extension | None) -> Scope | None:
    if raw is None or not raw.enabled:
        return None
    return Scope(_names(raw.lists, LISTS_MAX), _names(raw.rooms, SUBSCRIPTIONS_MAX))


def _names(raw: Sequence[str] | None, most: int) -> frozenset[str] | None:
    _check(len(raw or ()) <= most, "an extension names too many lists or rooms")
    return None if raw is None or "*" in raw else frozenset(raw)


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise InvalidParam(message)
