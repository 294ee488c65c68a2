"""Backups of room keys: versions, and the sessions that the newest one is given."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.features.key_backup import storage
from tremula.features.key_backup.storage import Newest, Scope, StoredVersion
from tremula.infra.db import Conflict, Database, Returned, Statements
from tremula.protocol.errors import (
    InvalidParam,
    NotFound,
    TooLarge,
    WrongRoomKeysVersion,
)
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.key_backup import BackedUpSession, parse_auth_data

__all__ = ["KeyBackup", "Scope", "Stored"]

VERSIONS_MAX: Final = 100
SESSIONS_MAX: Final = 250_000
"""So many sessions are kept in a version."""

# More in one unit would hold up what others want to write.
_SESSIONS_A_UNIT: Final = 500
_SESSIONS_A_READ: Final = 2_000
_VERSION_DIGITS_MAX: Final = 18

_JSON_BOOL: Final = (b"false", b"true")


class Stored(Struct, frozen=True):
    """What a backup holds after a change."""

    etag: int
    session_count: int

    def body(self) -> dict[str, Any]:
        """The keys that answers share."""
        return {"etag": str(self.etag), "count": self.session_count}


class KeyBackup(Struct, frozen=True):
    """Keeps backups. Keeps no state of its own, so any process may serve it."""

    db: Database

    # Versions

    async def create(
        self, user_id: UserId, algorithm: str, auth_data: dict[str, Any]
    ) -> str:
        """Begin a new version, to which keys are written from now on.

        Raises:
            InvalidParam: the algorithm's name is impossible, or there are too many.
            BadJson, TooLarge: *auth_data* is malformed.
        """
        encoded = parse_auth_data(algorithm, auth_data)
        if await storage.count_versions(self.db, user_id) >= VERSIONS_MAX:
            raise InvalidParam(f"at most {VERSIONS_MAX} backups: delete one first")
        try:
            return await self._create(user_id, algorithm, encoded)
        except Conflict:
            # Another process took the number.
            return await self._create(user_id, algorithm, encoded)

    async def _create(self, user_id: UserId, algorithm: str, auth_data: bytes) -> str:
        unit = Statements()
        created = storage.insert_version(unit, user_id, algorithm, auth_data)
        await self.db.commit(unit)
        [(version,)] = created.rows
        return str(version)

    async def newest(self, user_id: UserId) -> bytes:
        """The version that was created last, as JSON.

        Raises:
            NotFound: there is none.
        """
        newest = await storage.newest_versions(self.db, user_id)
        return _version_json(await self._get(user_id, newest.current))

    async def version(self, user_id: UserId, raw_version: str) -> bytes:
        """A version, as JSON.

        Raises:
            NotFound: there is none of this number, or not any more.
        """
        return _version_json(await self._get(user_id, _number(raw_version)))

    async def update(
        self,
        user_id: UserId,
        raw_version: str,
        algorithm: str,
        auth_data: dict[str, Any],
    ) -> None:
        """Replace a version's *auth_data*.

        Raises:
            NotFound: there is no such version.
            InvalidParam: it has another algorithm.
            BadJson, TooLarge: *auth_data* is malformed.
        """
        stored = await self._get(user_id, _number(raw_version))
        if algorithm != stored.algorithm:
            raise InvalidParam("the algorithm of a backup can't be changed")
        encoded = parse_auth_data(algorithm, auth_data)
        unit = Statements()
        updated = storage.update_auth_data(unit, user_id, stored.version, encoded)
        await self.db.commit(unit)
        if not updated.rows:
            raise _no_backup()

    async def delete(self, user_id: UserId, raw_version: str) -> None:
        """Remove a version with all its sessions. Safe to repeat.

        Raises:
            NotFound: there never was such a version.
        """
        version = _number(raw_version)
        newest = await storage.newest_versions(self.db, user_id)
        if not _existed(version, newest):
            raise _no_backup()
        unit = Statements()
        storage.delete_version(unit, user_id, version)
        await self.db.commit(unit)

    async def erase(self, user_id: UserId) -> None:
        """Remove all that a user has backed up. Safe to repeat."""
        unit = Statements()
        storage.delete_user(unit, user_id)
        await self.db.commit(unit)

    # Sessions

    async def store(
        self, user_id: UserId, raw_version: str, sessions: Sequence[BackedUpSession]
    ) -> Stored:
        """Store the sessions that are new, or better than those that are there.

        Many are stored in several units, each as a whole; safe to repeat.

        Raises:
            NotFound: there is no backup, or never was one of this number.
            WrongRoomKeysVersion: it is not the newest.
            TooLarge: the backup is full.
        """
        version = await self._current(user_id, raw_version)
        backup = await self._get(user_id, version)
        if backup.session_count + len(sessions) > SESSIONS_MAX:
            raise TooLarge(f"a backup has at most {SESSIONS_MAX} sessions")
        stored = Stored(backup.etag, backup.session_count)
        for start in range(0, len(sessions), _SESSIONS_A_UNIT):
            part = sessions[start : start + _SESSIONS_A_UNIT]
            unit = Statements()
            storage.lock_version(unit, user_id, version)
            storage.upsert_sessions(unit, user_id, version, part)
            counted = storage.update_stored(unit, user_id, version)
            await self.db.commit(unit)
            stored = _stored(counted)
        return stored

    async def remove(self, user_id: UserId, raw_version: str, scope: Scope) -> Stored:
        """Remove sessions of a version. Those that are not there are fine.

        Raises:
            NotFound: there is no such version.
        """
        version = (await self._get(user_id, _number(raw_version))).version
        unit = Statements()
        storage.lock_version(unit, user_id, version)
        storage.delete_sessions(unit, user_id, version, scope)
        counted = storage.update_deleted(unit, user_id, version)
        await self.db.commit(unit)
        return _stored(counted)

    async def rooms(self, user_id: UserId, raw_version: str) -> bytes:
        """All sessions of a version, as ``{"rooms": …}``.

        Raises:
            NotFound: there is no such version.
        """
        version = (await self._get(user_id, _number(raw_version))).version
        found = await self._all_sessions(user_id, version)
        rooms = (
            b'%b:{"sessions":{%b}}' % (orjson.dumps(room_id), _sessions_json(sessions))
            for room_id, sessions in groupby(found, attrgetter("room_id"))
        )
        return b'{"rooms":{%b}}' % b",".join(rooms)

    async def room(self, user_id: UserId, raw_version: str, room_id: RoomId) -> bytes:
        """The sessions of a room, as ``{"sessions": …}``.

        Raises:
            NotFound: there is no such version.
        """
        version = (await self._get(user_id, _number(raw_version))).version
        found = await storage.sessions_of_room(self.db, user_id, version, room_id)
        return b'{"sessions":{%b}}' % _sessions_json(found)

    async def session(
        self, user_id: UserId, raw_version: str, room_id: RoomId, session_id: str
    ) -> bytes:
        """One session.

        Raises:
            NotFound: there is no such session, or no such version.
        """
        version = (await self._get(user_id, _number(raw_version))).version
        found = await storage.find_session(
            self.db, user_id, version, room_id, session_id
        )
        if found is None:
            raise NotFound("there is no key of this session")
        return _session_json(found)

    async def _all_sessions(
        self, user_id: UserId, version: int
    ) -> list[BackedUpSession]:
        found: list[BackedUpSession] = []
        after = ("", "")
        while True:
            page = await storage.sessions_after(
                self.db, user_id, version, after=after, limit=_SESSIONS_A_READ
            )
            found += page
            if len(page) < _SESSIONS_A_READ:
                return found
            after = (page[-1].room_id, page[-1].session_id)

    async def _get(self, user_id: UserId, version: int | None) -> StoredVersion:
        stored = (
            await storage.find_version(self.db, user_id, version) if version else None
        )
        if stored is None:
            raise _no_backup()
        return stored

    async def _current(self, user_id: UserId, raw_version: str) -> int:
        version = _number(raw_version)
        newest = await storage.newest_versions(self.db, user_id)
        if newest.current is None or not _existed(version, newest):
            raise _no_backup()
        if version != newest.current:
            raise WrongRoomKeysVersion(
                "this is not the newest backup", current_version=str(newest.current)
            )
        return version


def _number(raw_version: str) -> int:
    """The number of a version; 0, which there never is, for what is none."""
    is_number = raw_version.isascii() and raw_version.isdecimal()
    return (
        int(raw_version) if is_number and len(raw_version) <= _VERSION_DIGITS_MAX else 0
    )


def _existed(version: int, newest: Newest) -> bool:
    return 0 < version <= newest.ever


def _no_backup() -> NotFound:
    return NotFound("there is no such backup")


def _stored(counted: Returned) -> Stored:
    """What was counted.

    Raises:
        NotFound: there is no such version.
    """
    if not counted.rows:
        raise _no_backup()
    [(etag, session_count)] = counted.rows
    return Stored(etag, session_count)


def _version_json(stored: StoredVersion) -> bytes:
    return b'{"algorithm":%b,"auth_data":%b,"count":%d,"etag":"%d","version":"%d"}' % (
        orjson.dumps(stored.algorithm),
        stored.auth_data,
        stored.session_count,
        stored.etag,
        stored.version,
    )


def _sessions_json(sessions: Iterable[BackedUpSession]) -> bytes:
    return b",".join(
        b"%b:%b" % (orjson.dumps(each.session_id), _session_json(each))
        for each in sessions
    )


def _session_json(session: BackedUpSession) -> bytes:
    return (
        b'{"first_message_index":%d,"forwarded_count":%d,"is_verified":%b,'
        b'"session_data":%b}'
        % (
            session.first_message_index,
            session.forwarded_count,
            _JSON_BOOL[session.is_verified],
            session.session_data,
        )
    )
