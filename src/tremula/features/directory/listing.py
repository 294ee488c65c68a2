"""What clients and servers ask of the published directory (CS and SS
"Published Room Directory").
"""

from typing import Any

import msgspec

from tremula.features.directory.entries import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    PageToken,
    Search,
)
from tremula.infra.http import Request
from tremula.protocol.errors import BadJson, InvalidParam


class RoomsFilter(msgspec.Struct, omit_defaults=True):
    """``filter`` of ``queryPublicRooms``."""

    generic_search_term: str | None = None
    room_types: list[str | None] | None = None


class RoomsQuery(msgspec.Struct, omit_defaults=True):
    """Body of ``queryPublicRooms``; ``getPublicRooms`` has some of it as parameters."""

    limit: int | None = None
    since: str | None = None
    filter: RoomsFilter | None = None
    include_all_networks: bool = False
    third_party_instance_id: str | None = None

    @property
    def rooms_max(self) -> int:
        """How many rooms to answer at most."""
        return min(self.limit or LIMIT_DEFAULT, LIMIT_MAX)

    @property
    def place(self) -> PageToken | None:
        """Where to go on.

        Raises:
            InvalidParam: ``since`` is no token of this server.
        """
        return PageToken.parse(self.since) if self.since else None

    def search(self, *, federated_only: bool = False) -> Search:
        """Which rooms to list."""
        wanted = self.filter or RoomsFilter()
        types = wanted.room_types
        return Search(
            term=wanted.generic_search_term,
            room_types=None if types is None else frozenset(types),
            federated_only=federated_only,
        )

    def to_json(self) -> dict[str, Any]:
        """The body again, as another server is sent it."""
        body: dict[str, Any] = msgspec.to_builtins(self)
        return body


def query_of_body(req: Request, *, least: int) -> RoomsQuery:
    """What a ``queryPublicRooms`` asks for, of *least* rooms or more.

    Raises:
        BadJson: the body is malformed, or asks for one network and for all.
        InvalidParam: ``limit`` is less than *least*.
    """
    query = req.body(RoomsQuery)
    if query.third_party_instance_id is not None and query.include_all_networks:
        raise BadJson("third_party_instance_id excludes include_all_networks")
    if query.limit is not None and query.limit < least:
        raise InvalidParam(f"limit must be at least {least}")
    return query


def query_of_parameters(req: Request, *, least: int) -> RoomsQuery:
    """What a ``getPublicRooms`` asks for, of *least* rooms or more.

    Raises:
        InvalidParam: a parameter is malformed.
    """
    return RoomsQuery(
        limit=req.query.int("limit", min=least),
        since=req.query.get("since"),
        include_all_networks=req.query.bool("include_all_networks"),
        third_party_instance_id=req.query.get("third_party_instance_id"),
    )
