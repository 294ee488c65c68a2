"""What other servers tell of spaces and rooms (SS "Spaces")."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Final
from urllib.parse import quote

import orjson
import structlog
from msgspec import Struct

from tremula.features.spaces.space_rooms import SpaceRoom, Summary
from tremula.infra.cache import ByteLRU
from tremula.infra.clock import Clock
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.errors import PeerError, RemoteError
from tremula.infra.locks import KeyedLocks
from tremula.protocol.identifiers import RoomId, ServerName
from tremula.protocol.room_summaries import parse_room_summary
from tremula.protocol.spaces import CHILDREN_MAX, children_of

log = structlog.get_logger(__name__)

_PREFIX: Final = "/_matrix/federation/v1/hierarchy"
_TIMEOUT_S: Final = 5.0
_BYTES_MAX: Final = 2 * 1024 * 1024
_AT_ONCE: Final = 32

_ASKS_MAX: Final = 50
_ASKING_S: Final = 15.0

_LIFETIME_S: Final = 300.0
# Of a server that does not answer, and of one that does not tell of a room.
_PAUSE_S: Final = 60.0
_CACHE_BYTES: Final = 32 * 1024 * 1024
_ENTRY_BYTES: Final = 600
_PAUSES_BYTES: Final = 1024 * 1024


class Budget(Struct):
    """How much may be asked of others for one request of a client."""

    clock: Clock
    ends_s: float
    asks: int
    is_used_up: bool = False

    @classmethod
    def of(cls, clock: Clock) -> "Budget":
        """A new one."""
        return cls(clock, clock.monotonic_s() + _ASKING_S, _ASKS_MAX)

    @classmethod
    def none(cls, clock: Clock) -> "Budget":
        """One that lets nobody be asked."""
        return cls(clock, clock.monotonic_s(), 0)

    def take(self) -> bool:
        """Whether one more server may be asked."""
        if self.asks == 0 or self.clock.monotonic_s() >= self.ends_s:
            self.is_used_up = True
            return False
        self.asks -= 1
        return True


class _Told(Struct, frozen=True):
    """What a server said of a room, if anything, and until when that counts."""

    room: SpaceRoom | None
    expires_s: float


class RemoteSpaces:
    """Asks other servers of rooms; what they answer counts for five minutes.

    "Responses to this endpoint should be cached for a period of time." A server's word
    counts for those only whom a space sends to that server: anybody may tell anything
    of any room.
    """

    def __init__(self, client: FederationClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self.cache: ByteLRU[tuple[ServerName, RoomId], _Told] = ByteLRU(_CACHE_BYTES)
        self.pauses: ByteLRU[ServerName, float] = ByteLRU(_PAUSES_BYTES)
        self._asking: KeyedLocks[tuple[ServerName, RoomId]] = KeyedLocks()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def find(
        self, server_name: ServerName, room_id: RoomId, budget: Budget
    ) -> SpaceRoom | None:
        """A room as *server_name* tells of it; None if it does not, or *budget* is
        used up.
        """
        async with self._asking.of((server_name, room_id)):
            told = self.cache.get((server_name, room_id))
            if told is not None and told.expires_s > self._clock.monotonic_s():
                return told.room
            async with self._slots:
                if self._is_down(server_name) or not budget.take():
                    return None
                return await self._ask(server_name, room_id)

    def _is_down(self, server_name: ServerName) -> bool:
        until_s = self.pauses.get(server_name)
        return until_s is not None and until_s > self._clock.monotonic_s()

    async def _ask(self, server_name: ServerName, room_id: RoomId) -> SpaceRoom | None:
        remember = partial(self._remember, (server_name, room_id))
        try:
            answer = await self._client.get(
                server_name,
                f"{_PREFIX}/{quote(room_id, safe='')}",
                timeout_s=_TIMEOUT_S,
                bytes_max=_BYTES_MAX,
            )
        except PeerError:
            return remember(None, _PAUSE_S)
        except RemoteError as error:
            log.info("space_not_told", asked=server_name, reason=str(error))
            down_until_s = self._clock.monotonic_s() + _PAUSE_S
            self.pauses.put(server_name, down_until_s, _ENTRY_BYTES)
            return None
        room = parse_hierarchy(answer, room_id)
        return remember(room, _LIFETIME_S if room else _PAUSE_S)

    def _remember(
        self,
        key: tuple[ServerName, RoomId],
        room: SpaceRoom | None,
        lifetime_s: float,
    ) -> SpaceRoom | None:
        expires_s = self._clock.monotonic_s() + lifetime_s
        self.cache.put(key, _Told(room, expires_s), _weight(room))
        return room


def parse_hierarchy(answer: object, room_id: RoomId) -> SpaceRoom | None:
    """The answer of SS getSpaceHierarchy, checked; None if it is not of that room."""
    if not isinstance(answer, dict):
        return None
    room = answer.get("room")
    summary = parse_room_summary(room)
    if summary is None or summary["room_id"] != room_id:
        return None
    assert isinstance(room, dict)
    children = children_of(_list(room, "children_state"))
    listed = {child.room_id for child in children}
    summaries = map(parse_room_summary, _list(answer, "children"))
    told: dict[RoomId, Summary] = {
        RoomId(each["room_id"]): each
        for each in summaries
        if each is not None and each["room_id"] in listed
    }
    inaccessible = {
        each for each in _list(answer, "inaccessible_children") if isinstance(each, str)
    }
    return SpaceRoom(summary, children, told, frozenset(listed & inaccessible))


def _list(parent: Mapping[str, object], key: str) -> list[object]:
    value = parent.get(key)
    return value[:CHILDREN_MAX] if isinstance(value, list) else []


def _weight(room: SpaceRoom | None) -> int:
    if room is None:
        return _ENTRY_BYTES
    summaries = [room.summary, *room.told.values()]
    told = sum(_ENTRY_BYTES + len(orjson.dumps(each)) for each in summaries)
    return told + sum(_ENTRY_BYTES + len(child.json) for child in room.children)
