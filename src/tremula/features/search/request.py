"""What a client searches for, and the tokens that lead to the next page."""

from enum import StrEnum
from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType, field

from tremula.features.search.documents import Key
from tremula.protocol.errors import InvalidParam
from tremula.protocol.filters import RoomEventFilter
from tremula.protocol.search_query import SearchQuery

LIMIT_DEFAULT: Final = 10
LIMIT_MAX: Final = 100
CONTEXT_MAX: Final = 50


class OrderBy(StrEnum):
    """The order of results."""

    RANK = "rank"
    RECENT = "recent"


class GroupKey(StrEnum):
    """What results are grouped by."""

    ROOM_ID = "room_id"
    SENDER = "sender"


class ContextBody(Struct):
    """``event_context`` of CS ``search``."""

    before_limit: int = 5
    after_limit: int = 5
    include_profile: bool = False


class GroupBody(Struct):
    """``group_by`` of CS ``search``."""

    key: GroupKey


class GroupingsBody(Struct):
    """``groupings`` of CS ``search``."""

    group_by: list[GroupBody] = field(default_factory=list[GroupBody])


class RoomEventsBody(Struct):
    """``room_events`` of CS ``search``."""

    search_term: str
    keys: list[Key] = field(default_factory=lambda: list(Key))
    filter: dict[str, Any] = field(default_factory=dict[str, Any])
    order_by: OrderBy = OrderBy.RANK
    event_context: ContextBody | UnsetType = UNSET
    include_state: bool = False
    groupings: GroupingsBody = field(default_factory=GroupingsBody)


class CategoriesBody(Struct):
    """``search_categories`` of CS ``search``."""

    room_events: RoomEventsBody | UnsetType = UNSET


class SearchBody(Struct):
    """Body of CS ``search``."""

    search_categories: CategoriesBody


class ContextWanted(Struct, frozen=True):
    """How much is shown around each result."""

    before: int
    after: int
    with_profiles: bool


class SearchRequest(Struct, frozen=True, kw_only=True):
    """A search among the events of rooms."""

    query: SearchQuery
    keys: frozenset[Key]
    filter: RoomEventFilter
    limit: int
    order_by: OrderBy
    context: ContextWanted | None
    include_state: bool
    group_by: tuple[GroupKey, ...]

    @classmethod
    def parse(cls, body: RoomEventsBody) -> "SearchRequest":
        """Check what a client asks for.

        Raises:
            InvalidParam: a negative number of events, or a search term past its bound.
            BadJson: the filter is none.
        """
        wanted = RoomEventFilter.parse(body.filter)
        return cls(
            query=SearchQuery.parse(body.search_term),
            keys=frozenset(body.keys),
            filter=wanted,
            limit=min(wanted.limit or LIMIT_DEFAULT, LIMIT_MAX),
            order_by=body.order_by,
            context=_context(body.event_context),
            include_state=body.include_state,
            group_by=tuple(dict.fromkeys(each.key for each in body.groupings.group_by)),
        )


def _context(body: ContextBody | UnsetType) -> ContextWanted | None:
    if isinstance(body, UnsetType):
        return None
    if body.before_limit < 0 or body.after_limit < 0:
        raise InvalidParam("before_limit and after_limit must not be negative")
    return ContextWanted(
        min(body.before_limit, CONTEXT_MAX),
        min(body.after_limit, CONTEXT_MAX),
        body.include_profile,
    )


class PageToken(Struct, frozen=True, omit_defaults=True):
    """Where the next page begins: with the newest documents before ``before``, of those
    after ``after``, a rank and a document. With a group: of that one alone.
    """

    before: int = 2**62
    after: tuple[float, int] | None = None
    group: tuple[GroupKey, str] | None = None
