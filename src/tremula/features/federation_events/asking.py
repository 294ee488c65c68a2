"""Asks other servers for events, and checks every one of them.

CVE-2022-39200: what answers ``get_missing_events`` is as untrusted as what is sent.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from tremula.infra.federation.client import FederationClient, Query
from tremula.infra.federation.errors import PeerError, RemoteError
from tremula.protocol.errors import BadJson, InvalidParam, NotJson
from tremula.protocol.identifiers import EventId, RoomId, ServerName, parse_event_id
from tremula.protocol.received_events import ReceivedEvent, receive_pdu
from tremula.rooms.event_lists import EventListReader
from tremula.rooms.peers import EventAt, PeerFailed, RoomAt, StateIds
from tremula.rooms.verification import EventVerifier

_PREFIX: Final = "/_matrix/federation/v1"

_TIMEOUT_S: Final = 20.0
# States of great rooms take servers a while to put together.
_STATE_TIMEOUT_S: Final = 90.0

_EVENT_BYTES_MAX: Final = 200_000
"""An event of 64 KiB with ``unsigned``, which other servers may add to."""

_PAGE_BYTES_MAX: Final = 16 * 1024 * 1024
_STATE_BYTES_MAX: Final = 128 * 1024 * 1024
_STATE_EVENTS_MAX: Final = 300_000


class RemoteEvents(Struct, frozen=True):
    """Implements the room engine's ``Peers``."""

    client: FederationClient
    verifier: EventVerifier

    async def get_missing_events(
        self,
        origin: ServerName,
        room: RoomAt,
        *,
        earliest: Collection[EventId],
        latest: Collection[EventId],
        limit: int,
    ) -> Sequence[ReceivedEvent]:
        """SS getMissingPreviousEvents; at most *limit* of them.

        Raises:
            PeerFailed: *origin* does not help.
        """
        body = {
            "earliest_events": list(earliest),
            "latest_events": list(latest),
            "limit": limit,
            "min_depth": 0,
        }
        path = _path("get_missing_events", room.room_id)
        async with _failing_as_peer():
            answer = await self.client.post(
                origin, path, body, timeout_s=_TIMEOUT_S, bytes_max=_PAGE_BYTES_MAX
            )
            return await self._verified(room, _list(answer, "events", most=limit))

    async def backfill(
        self,
        origin: ServerName,
        room: RoomAt,
        *,
        latest: Collection[EventId],
        limit: int,
    ) -> Sequence[ReceivedEvent]:
        """SS backfillRoom: *latest* and events before them, at most *limit*.

        Raises:
            PeerFailed: *origin* does not help.
        """
        answer = await self._get(
            origin,
            _path("backfill", room.room_id),
            {"v": list(latest), "limit": str(limit)},
            bytes_max=_PAGE_BYTES_MAX,
        )
        async with _failing_as_peer():
            pdus = _list(answer, "pdus", most=limit)
            # "the response of backfill MUST NOT be validated on these specific
            # restrictions", namely how many previous and auth events there are.
            return await self.verifier.of_room(
                room.version,
                room.room_id,
                pdus,
                read_pdu=partial(receive_pdu, bounds_links=False),
            )

    async def state_ids(
        self, origin: ServerName, room: RoomAt, event_id: EventId
    ) -> StateIds:
        """SS getRoomStateIds: the state before an event.

        Raises:
            PeerFailed: *origin* does not help.
        """
        answer = await self._get(
            origin,
            _path("state_ids", room.room_id),
            {"event_id": event_id},
            timeout_s=_STATE_TIMEOUT_S,
            bytes_max=_STATE_BYTES_MAX,
        )
        async with _failing_as_peer():
            return StateIds(
                state=_event_ids(answer, "pdu_ids"),
                auth_chain=_event_ids(answer, "auth_chain_ids"),
            )

    async def state(
        self, origin: ServerName, room: RoomAt, event_id: EventId
    ) -> Sequence[ReceivedEvent]:
        """SS getRoomState: the events of that state and of its auth chains.

        Raises:
            PeerFailed: *origin* does not help.
        """
        reader = EventListReader(self.verifier, room.version, room.room_id)
        async with (
            _failing_as_peer(),
            self.client.get_and_stream(
                origin,
                _path("state", room.room_id),
                {"event_id": event_id},
                timeout_s=_STATE_TIMEOUT_S,
                bytes_max=_STATE_BYTES_MAX,
            ) as chunks,
        ):
            lists = await reader.read(chunks, ("auth_chain", "pdus"))
            return [each for found in lists.values() for each in found.values()]

    async def event(
        self, origin: ServerName, room: RoomAt, event_id: EventId
    ) -> ReceivedEvent | None:
        """SS getEvent; None if that server does not have it.

        Raises:
            PeerFailed: *origin* does not help, or answers another event.
        """
        try:
            answer = await self.client.get(
                origin,
                _path("event", event_id),
                timeout_s=_TIMEOUT_S,
                bytes_max=_EVENT_BYTES_MAX,
            )
        except PeerError as error:
            if error.status in {403, 404}:
                return None
            raise PeerFailed(str(error)) from error
        except RemoteError as error:
            raise PeerFailed(str(error)) from error
        async with _failing_as_peer():
            found = await self._verified(room, _list(answer, "pdus", most=1))
        if not found:
            return None
        if found[0].event.event_id != event_id:
            raise PeerFailed(f"{origin} answers another event than {event_id}")
        return found[0]

    async def event_auth(
        self, origin: ServerName, room: RoomAt, event_id: EventId
    ) -> Sequence[ReceivedEvent]:
        """SS getEventAuth: the auth chain of an event.

        Raises:
            PeerFailed: *origin* does not help.
        """
        answer = await self._get(
            origin,
            _path("event_auth", room.room_id, event_id),
            timeout_s=_STATE_TIMEOUT_S,
            bytes_max=_STATE_BYTES_MAX,
        )
        async with _failing_as_peer():
            chain = _list(answer, "auth_chain", most=_STATE_EVENTS_MAX)
            return await self._verified(room, chain)

    async def timestamp_to_event(
        self, origin: ServerName, room: RoomAt, ts_ms: int, *, forwards: bool
    ) -> EventAt | None:
        """SS getEventByTimestamp; None if that server has none.

        Raises:
            PeerFailed: *origin* does not help.
        """
        try:
            answer = await self.client.get(
                origin,
                _path("timestamp_to_event", room.room_id),
                {"ts": str(ts_ms), "dir": "f" if forwards else "b"},
                timeout_s=_TIMEOUT_S,
                bytes_max=_EVENT_BYTES_MAX,
            )
        except PeerError as error:
            if error.status == 404:
                return None
            raise PeerFailed(str(error)) from error
        except RemoteError as error:
            raise PeerFailed(str(error)) from error
        async with _failing_as_peer():
            found = _object(answer)
            at_ms = found.get("origin_server_ts")
            if not isinstance(at_ms, int) or isinstance(at_ms, bool):
                raise BadJson("origin_server_ts must be an integer")
            return EventAt(parse_event_id(found.get("event_id")), at_ms)

    async def _get(
        self,
        origin: ServerName,
        path: str,
        query: Query | None = None,
        *,
        timeout_s: float = _TIMEOUT_S,
        bytes_max: int,
    ) -> object:
        async with _failing_as_peer():
            answer: object = await self.client.get(
                origin, path, query, timeout_s=timeout_s, bytes_max=bytes_max
            )
            return answer

    async def _verified(
        self, room: RoomAt, pdus: Sequence[object]
    ) -> list[ReceivedEvent]:
        return await self.verifier.of_room(room.version, room.room_id, pdus)


@asynccontextmanager
async def _failing_as_peer() -> AsyncIterator[None]:
    try:
        yield
    except (RemoteError, BadJson, InvalidParam, NotJson) as error:
        raise PeerFailed(str(error)) from error


def _path(endpoint: str, *parts: RoomId | EventId) -> str:
    return "/".join((_PREFIX, endpoint, *(quote(part, safe="") for part in parts)))


def _object(answer: object) -> Mapping[str, object]:
    if not isinstance(answer, dict):
        raise BadJson("the answer must be an object")
    return answer


def _list(answer: object, key: str, *, most: int) -> Sequence[object]:
    """A list in an answer; what is past *most* is left out."""
    found = _object(answer).get(key)
    if not isinstance(found, list):
        raise BadJson(f"{key} must be a list")
    return found[:most]


def _event_ids(answer: object, key: str) -> list[EventId]:
    return [parse_event_id(each) for each in _list(answer, key, most=_STATE_EVENTS_MAX)]
