"""The aliases and published rooms of other servers."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.errors import PeerUnreachable
from tremula.infra.federation.relaying import relaying
from tremula.protocol.canonical import INTEGER_MAX
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import (
    RoomAlias,
    RoomId,
    ServerName,
    is_valid_server_name,
    parse_room_id,
    server_of,
)
from tremula.protocol.room_summaries import parse_published_room

SERVERS_MAX: Final = 100
"""How many servers are named that could let somebody into a room."""

_PREFIX: Final = "/_matrix/federation/v1"
_TIMEOUT_S: Final = 15.0
_ALIAS_BYTES_MAX: Final = 256 * 1024
_ROOMS_BYTES_MAX: Final = 4 * 1024 * 1024


class AliasTarget(Struct, frozen=True):
    """The room that an alias points at, and servers that are in it."""

    room_id: RoomId
    servers: tuple[ServerName, ...]


class RemoteDirectory(Struct, frozen=True):
    """Asks other servers on behalf of our users."""

    client: FederationClient

    async def resolve(self, alias: RoomAlias) -> AliasTarget:
        """The room that an alias of another server points at.

        Raises:
            NotFound: there is no such alias.
            Forbidden: this server does not speak with that of the alias, or that one
                keeps it to itself.
            Unknown: (502) the other server does not answer.
        """
        server_name = server_of(alias)
        with relaying():
            answer = await self.client.get(
                server_name,
                f"{_PREFIX}/query/directory",
                {"room_alias": alias},
                timeout_s=_TIMEOUT_S,
                bytes_max=_ALIAS_BYTES_MAX,
            )
            return _target(answer, server_name)

    async def public_rooms(
        self, server_name: ServerName, query: Mapping[str, Any], *, limit: int
    ) -> dict[str, Any]:
        """A page of the rooms that another server publishes.

        *query* is the body of SS queryPublicRooms; without a ``filter`` it is asked as
        SS getPublicRooms. What is malformed in the answer is left out.

        Raises:
            Forbidden: this server does not speak with that one, or that one refuses.
            NotFound: the other server says so.
            Unknown: (502) it does not answer.
        """
        with relaying():
            return _page(await self._ask_rooms(server_name, query, limit), limit)

    async def _ask_rooms(
        self, server_name: ServerName, query: Mapping[str, Any], limit: int
    ) -> object:
        path = f"{_PREFIX}/publicRooms"
        answer: object
        if "filter" in query:
            answer = await self.client.post(
                server_name,
                path,
                {**query, "limit": limit},
                timeout_s=_TIMEOUT_S,
                bytes_max=_ROOMS_BYTES_MAX,
            )
        else:
            parameters = {
                name: "true" if value is True else value
                for name, value in query.items()
            }
            answer = await self.client.get(
                server_name,
                path,
                {**parameters, "limit": str(limit)},
                timeout_s=_TIMEOUT_S,
                bytes_max=_ROOMS_BYTES_MAX,
            )
        return answer


def _target(answer: object, asked: ServerName) -> AliasTarget:
    if not isinstance(answer, dict):
        raise PeerUnreachable(f"{asked}: the answer is no object")
    try:
        room_id = parse_room_id(answer.get("room_id"))
    except InvalidParam as error:
        raise PeerUnreachable(f"{asked}: {error.message}") from error
    named = answer.get("servers")
    servers = [
        ServerName(each)
        for each in (named if isinstance(named, list) else ())[:SERVERS_MAX]
        if isinstance(each, str) and is_valid_server_name(each)
    ]
    return AliasTarget(room_id, tuple(dict.fromkeys(servers)) or (asked,))


def _page(answer: object, limit: int) -> dict[str, Any]:
    if not isinstance(answer, dict) or not isinstance(answer.get("chunk"), list):
        raise PeerUnreachable("a page of rooms without rooms")
    rooms = [parse_published_room(each) for each in answer["chunk"][:limit]]
    page: dict[str, Any] = {"chunk": [room for room in rooms if room is not None]}
    for key in ("next_batch", "prev_batch"):
        if isinstance(answer.get(key), str):
            page[key] = answer[key]
    estimate = answer.get("total_room_count_estimate")
    if type(estimate) is int and 0 <= estimate <= INTEGER_MAX:
        page["total_room_count_estimate"] = estimate
    return page
