"""Account data, global and of rooms: what clients set, and what the server does."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import orjson

from tremula.features.account_data import storage
from tremula.features.account_data.storage import GLOBAL, AccountDatum, SeenContent
from tremula.infra.cache import ByteLRU
from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.errors import (
    BadJson,
    Forbidden,
    InvalidParam,
    NotFound,
    TooLarge,
)
from tremula.protocol.identifiers import RoomId, UserId, parse_room_id
from tremula.protocol.json import encode_to_keep
from tremula.rooms.memberships import Memberships
from tremula.rooms.reader import RoomReader

__all__ = ["AccountData", "SeenContent"]

# Announced with the user ID as key and an `AccountDatum` as payload.
TOPIC: Final = "account_data"

PUSH_RULES: Final = "m.push_rules"
FULLY_READ: Final = "m.fully_read"
MARKED_UNREAD: Final = "m.marked_unread"
IGNORED_USERS: Final = "m.ignored_user_list"
# "Servers MUST reject setting account data for event types that the server manages."
SERVER_MANAGED: Final = frozenset({FULLY_READ, PUSH_RULES})

CONTENT_BYTES_MAX: Final = 256 * 1024
TYPE_BYTES_MAX: Final = 255
TYPES_MAX: Final = 1_000

_IGNORED_CACHE_BYTES: Final = 2 * 1024 * 1024


class PushRules(Protocol):
    """Knows what users want to be notified of."""

    async def content(self, user_id: UserId) -> Mapping[str, Any]:
        """The content of the user's ``m.push_rules``."""
        ...

    async def changed_pos(self, user_id: UserId) -> int:
        """The journal position since which it is what it is."""
        ...


class Follower(Protocol):
    """Does what some type of account data of rooms calls for."""

    async def __call__(self, user_id: UserId, room_id: RoomId, /) -> None:
        """*user_id* has set it for a room."""
        ...


class AccountData:
    """Reads and changes account data; knows whom a user ignores."""

    topic = TOPIC

    def __init__(
        self,
        *,
        db: Reader,
        journal: Journal,
        reader: RoomReader,
        memberships: Memberships,
        push_rules: PushRules,
    ) -> None:
        self._db = db
        self._journal = journal
        self._reader = reader
        self._memberships = memberships
        self._push_rules = push_rules
        self.ignored: ByteLRU[UserId, frozenset[UserId]] = ByteLRU(_IGNORED_CACHE_BYTES)
        self._followers: dict[str, Follower] = {}
        self._changing: KeyedLocks[tuple[UserId, int]] = KeyedLocks()
        journal.subscribe(TOPIC, self._forget_ignored)
        journal.on_forget(self.ignored.clear)

    def follow(self, data_type: str, follower: Follower) -> None:
        """Have *follower* called when a client has set this for a room."""
        self._followers[data_type] = follower

    async def get(self, user_id: UserId, data_type: str) -> bytes:
        """The content of global account data.

        Raises:
            NotFound: nothing of this type was set.
        """
        if data_type == PUSH_RULES:
            return orjson.dumps(await self._push_rules.content(user_id))
        return await self._get_content(user_id, GLOBAL, data_type)

    async def push_rules_pos(self, user_id: UserId) -> int:
        """The journal position since which the push rules are as they are."""
        return await self._push_rules.changed_pos(user_id)

    async def put(
        self, user_id: UserId, data_type: str, content: Mapping[str, Any]
    ) -> None:
        """Set global account data on behalf of a client.

        Raises:
            BadJson: 405, the type is the server's own.
            InvalidParam, TooLarge: a type or content past its bound, too many types.
        """
        _check_type(data_type)
        async with self._changing.of((user_id, GLOBAL)):
            await self._set(user_id, GLOBAL, data_type, content)

    async def update(
        self,
        user_id: UserId,
        data_type: str,
        change: Callable[[dict[str, Any]], Mapping[str, Any]],
    ) -> None:
        """Set global account data to what *change* makes of it.

        Raises:
            TooLarge, InvalidParam: a bound is passed.
        """
        await self.update_in_room(user_id, GLOBAL, data_type, change)

    async def get_in_room(self, user_id: UserId, room_id: str, data_type: str) -> bytes:
        """The content of account data of a room.

        Raises:
            InvalidParam: *room_id* is not one.
            NotFound: nothing of this type was set, or there is no such room.
        """
        view = await self._reader.get_room(parse_room_id(room_id))
        return await self._get_content(user_id, view.nid, data_type)

    async def put_in_room(
        self, user_id: UserId, room_id: str, data_type: str, content: Mapping[str, Any]
    ) -> None:
        """Set account data of a room on behalf of a client.

        Raises:
            BadJson: 405, the type is the server's own.
            InvalidParam: *room_id* is not one, or a bound is passed.
            TooLarge: the content is past its bound.
            Forbidden: the user has never had to do with this room.
        """
        _check_type(data_type)
        parsed_id = parse_room_id(room_id)
        room_nid = await self.own_room_nid(user_id, parsed_id)
        async with self._changing.of((user_id, room_nid)):
            await self._set(user_id, room_nid, data_type, content)
        if (follower := self._followers.get(data_type)) is not None:
            await follower(user_id, parsed_id)

    async def update_in_room(
        self,
        user_id: UserId,
        room_nid: int,
        data_type: str,
        change: Callable[[dict[str, Any]], Mapping[str, Any]],
    ) -> None:
        """Set account data of a room to what *change* makes of it.

        Raises:
            TooLarge, InvalidParam: a bound is passed.
        """

        async def attempt() -> None:
            seen = await storage.find_content(self._db, user_id, room_nid, data_type)
            before = _parsed(seen)
            after = change(before)
            if after != before:
                await self._check_count(user_id, room_nid, seen)
                unit = self._journal.unit()
                self.replace(unit, user_id, room_nid, data_type, after, seen)
                await self._journal.commit(unit)

        async with self._changing.of((user_id, room_nid)):
            await reread_on_conflict(attempt)

    async def events_in_room(self, user_id: UserId, room_nid: int) -> list[bytes]:
        """All that was set of a room, each as JSON."""
        data = await storage.data_of_rooms(
            self._db, user_id, [room_nid], up_to=self._journal.position
        )
        return [datum.to_json() for datum in data]

    async def of_type(
        self, user_id: UserId, data_type: str
    ) -> dict[int, dict[str, Any]]:
        """The parsed contents of one type of account data of rooms, by room nid."""
        contents = await storage.contents_of_type(self._db, user_id, data_type)
        return {nid: orjson.loads(content) for nid, content in contents}

    async def find_in_room(
        self, user_id: UserId, room_nid: int, data_type: str
    ) -> dict[str, Any]:
        """The parsed content of account data of a room; empty if there is none."""
        return _parsed(await self.find_seen(user_id, room_nid, data_type))

    async def find_seen(
        self, user_id: UserId, room_nid: int, data_type: str
    ) -> SeenContent | None:
        """As `find_in_room`, to be replaced; None if there is none."""
        return await storage.find_content(self._db, user_id, room_nid, data_type)

    async def own_room_nid(self, user_id: UserId, room_id: RoomId) -> int:
        """The number of a room that *user_id* has or had a membership of.

        Raises:
            Forbidden: there is no such room.
        """
        view = await self._reader.find_room(room_id)
        if view is None or view.nid not in await self._memberships.of_user(user_id):
            raise Forbidden(f"{user_id} is not a member of room {room_id}")
        return view.nid

    def replace(
        self,
        unit: JournalUnit,
        user_id: UserId,
        room_nid: int,
        data_type: str,
        content: Mapping[str, Any],
        seen: SeenContent | None,
    ) -> None:
        """Set account data, the server's own too, in *unit*; *seen* is what it was.

        If it is not that any more, the unit fails with ``Conflict``.

        Raises:
            TooLarge: the content is past its bound.
        """
        datum = _datum(room_nid, data_type, content)
        pos, seen_pos = unit.pos(), 0 if seen is None else seen.pos
        storage.replace_datum(unit, user_id, datum, seen_pos=seen_pos, pos=pos)
        _announce(unit, user_id, datum, pos)

    async def ignored_users(self, user_id: UserId) -> frozenset[UserId]:
        """Whom *user_id* ignores (CS "Ignoring Users"). No query if asked lately."""
        ignored: frozenset[UserId] | None = self.ignored.get(user_id)
        if ignored is not None:
            return ignored
        before = self._journal.changed_pos(TOPIC, user_id)
        seen = await storage.find_content(self._db, user_id, GLOBAL, IGNORED_USERS)
        ignored = _ignored_in(_parsed(seen))
        # What has changed while it was being read must not be kept.
        if self._journal.changed_pos(TOPIC, user_id) == before:
            self.ignored.put(user_id, ignored, 200 + 100 * len(ignored))
        return ignored

    async def erase(self, user_id: UserId) -> None:
        """Remove everything of a user who is gone."""
        unit = self._journal.unit()
        storage.delete_data(unit, user_id)
        await self._journal.commit(unit)
        self.ignored.discard(user_id)

    async def _get_content(
        self, user_id: UserId, room_nid: int, data_type: str
    ) -> bytes:
        seen = await storage.find_content(self._db, user_id, room_nid, data_type)
        if seen is None:
            raise NotFound(f"there is no account data of type {data_type}")
        return seen.content

    async def _set(
        self,
        user_id: UserId,
        room_nid: int,
        data_type: str,
        content: Mapping[str, Any],
    ) -> None:
        datum = _datum(room_nid, data_type, content)
        seen = await storage.find_content(self._db, user_id, room_nid, data_type)
        await self._check_count(user_id, room_nid, seen)
        unit = self._journal.unit()
        pos = unit.pos()
        storage.upsert_datum(unit, user_id, datum, pos=pos)
        _announce(unit, user_id, datum, pos)
        await self._journal.commit(unit)

    async def _check_count(
        self, user_id: UserId, room_nid: int, seen: SeenContent | None
    ) -> None:
        if seen is not None:
            return
        count = await storage.count_types(self._db, user_id, room_nid)
        if count >= TYPES_MAX:
            raise InvalidParam(f"no more than {TYPES_MAX} types of account data")

    def _forget_ignored(self, _pos: int, user_id: object, datum: object) -> None:
        assert isinstance(user_id, str)
        assert isinstance(datum, AccountDatum)
        if datum.type == IGNORED_USERS:
            self.ignored.discard(UserId(user_id))


def announce_push_rules(
    unit: JournalUnit, user_id: UserId, content: Mapping[str, Any], *, pos: int
) -> None:
    """Tell the user's devices of the ``m.push_rules`` that *unit* stores."""
    datum = AccountDatum(GLOBAL, PUSH_RULES, encode_to_keep(content))
    _announce(unit, user_id, datum, pos)


def _announce(
    unit: JournalUnit, user_id: UserId, datum: AccountDatum, pos: int
) -> None:
    size_bytes = 256 + len(datum.content)
    unit.announce(TOPIC, user_id, datum, pos=pos, size_bytes=size_bytes)
    unit.wake({user_id})


def _check_type(data_type: str) -> None:
    if data_type in SERVER_MANAGED:
        raise BadJson(f"{data_type} is set by the server only", status=405)
    if len(data_type.encode()) > TYPE_BYTES_MAX:
        raise InvalidParam(f"a type has at most {TYPE_BYTES_MAX} bytes")


def _datum(room_nid: int, data_type: str, content: Mapping[str, Any]) -> AccountDatum:
    encoded = encode_to_keep(content)
    if len(encoded) > CONTENT_BYTES_MAX:
        raise TooLarge(f"account data has at most {CONTENT_BYTES_MAX} bytes")
    return AccountDatum(room_nid, data_type, encoded)


def _parsed(seen: SeenContent | None) -> dict[str, Any]:
    return {} if seen is None else seen.parsed()


def _ignored_in(content: Mapping[str, Any]) -> frozenset[UserId]:
    """Read the content of ``m.ignored_user_list``; malformed content names nobody."""
    ignored = content.get("ignored_users")
    return frozenset(map(UserId, ignored)) if isinstance(ignored, dict) else frozenset()
