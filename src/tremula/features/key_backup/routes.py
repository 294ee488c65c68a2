"""Backups of room keys at the HTTP edge (CS "Server-side key backups")."""

from typing import Any, Final

import msgspec

from tremula.features.key_backup.service import KeyBackup, Scope
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import RoomId
from tremula.protocol.key_backup import KeyBackupData, parse_sessions

# Clients send 100 to 200 sessions at once; this takes 10,000.
_BODY_BYTES_MAX: Final = 16 * 1024 * 1024

_KEYS: Final = "/_matrix/client/v3/room_keys/keys"
_ROOM_KEYS: Final = "/_matrix/client/v3/room_keys/keys/{room_id}"
_SESSION_KEY: Final = "/_matrix/client/v3/room_keys/keys/{room_id}/{session_id}"
_VERSIONS: Final = "/_matrix/client/v3/room_keys/version"
_VERSION: Final = "/_matrix/client/v3/room_keys/version/{version}"


class VersionBody(msgspec.Struct):
    """Body of CS ``postRoomKeysVersion`` and ``putRoomKeysVersion``."""

    algorithm: str
    auth_data: dict[str, Any]
    version: str | None = None


class RoomKeysBody(msgspec.Struct):
    """Body of CS ``putRoomKeysByRoomId``."""

    sessions: dict[str, KeyBackupData]


class KeysBody(msgspec.Struct):
    """Body of CS ``putRoomKeys``."""

    rooms: dict[str, RoomKeysBody]


# Versions


@endpoint("POST", _VERSIONS, auth=Auth.USER, limit="account")
async def post_room_keys_version(req: UserRequest, backup: KeyBackup) -> Json:
    """CS postRoomKeysVersion. Errors: M_BAD_JSON, M_INVALID_PARAM, M_TOO_LARGE."""
    body = req.body(VersionBody)
    version = await backup.create(req.user_id, body.algorithm, body.auth_data)
    return {"version": version}


@endpoint("GET", _VERSIONS, auth=Auth.USER, limit="default")
async def get_room_keys_version_current(req: UserRequest, backup: KeyBackup) -> Json:
    """CS getRoomKeysVersionCurrent. Errors: M_NOT_FOUND."""
    return await backup.newest(req.user_id)


@endpoint("GET", _VERSION, auth=Auth.USER, limit="default")
async def get_room_keys_version(req: UserRequest, backup: KeyBackup) -> Json:
    """CS getRoomKeysVersion. Errors: M_NOT_FOUND."""
    return await backup.version(req.user_id, req.path["version"])


@endpoint("PUT", _VERSION, auth=Auth.USER, limit="account")
async def put_room_keys_version(req: UserRequest, backup: KeyBackup) -> Json:
    """CS putRoomKeysVersion.

    Errors: M_NOT_FOUND, M_INVALID_PARAM, M_BAD_JSON, M_TOO_LARGE.
    """
    body = req.body(VersionBody)
    version = req.path["version"]
    if body.version not in {None, version}:
        raise InvalidParam("the version in the body must be that of the path")
    await backup.update(req.user_id, version, body.algorithm, body.auth_data)
    return {}


@endpoint("DELETE", _VERSION, auth=Auth.USER, limit="account")
async def delete_room_keys_version(req: UserRequest, backup: KeyBackup) -> Json:
    """CS deleteRoomKeysVersion. Errors: M_NOT_FOUND."""
    await backup.delete(req.user_id, req.path["version"])
    return {}


# All keys


@endpoint("GET", _KEYS, auth=Auth.USER, limit="default")
async def get_room_keys(req: UserRequest, backup: KeyBackup) -> Json:
    """CS getRoomKeys. Errors: M_MISSING_PARAM, M_NOT_FOUND."""
    return await backup.rooms(req.user_id, _version_of(req))


@endpoint("PUT", _KEYS, auth=Auth.USER, limit="default", max_body=_BODY_BYTES_MAX)
async def put_room_keys(req: UserRequest, backup: KeyBackup) -> Json:
    """CS putRoomKeys.

    Errors: M_WRONG_ROOM_KEYS_VERSION, M_NOT_FOUND, M_BAD_JSON, M_INVALID_PARAM,
    M_MISSING_PARAM, M_TOO_LARGE.
    """
    rooms = {room_id: of.sessions for room_id, of in req.body(KeysBody).rooms.items()}
    return await _store(req, backup, rooms)


@endpoint("DELETE", _KEYS, auth=Auth.USER, limit="default")
async def delete_room_keys(req: UserRequest, backup: KeyBackup) -> Json:
    """CS deleteRoomKeys. Errors: M_MISSING_PARAM, M_NOT_FOUND."""
    return await _remove(req, backup)


# Those of a room


@endpoint("GET", _ROOM_KEYS, auth=Auth.USER, limit="default")
async def get_room_keys_by_room_id(req: UserRequest, backup: KeyBackup) -> Json:
    """CS getRoomKeysByRoomId. Errors: M_MISSING_PARAM, M_NOT_FOUND."""
    return await backup.room(req.user_id, _version_of(req), RoomId(req.path["room_id"]))


@endpoint("PUT", _ROOM_KEYS, auth=Auth.USER, limit="default", max_body=_BODY_BYTES_MAX)
async def put_room_keys_by_room_id(req: UserRequest, backup: KeyBackup) -> Json:
    """CS putRoomKeysByRoomId. Errors: as of putRoomKeys."""
    sessions = req.body(RoomKeysBody).sessions
    return await _store(req, backup, {req.path["room_id"]: sessions})


@endpoint("DELETE", _ROOM_KEYS, auth=Auth.USER, limit="default")
async def delete_room_keys_by_room_id(req: UserRequest, backup: KeyBackup) -> Json:
    """CS deleteRoomKeysByRoomId. Errors: M_MISSING_PARAM, M_NOT_FOUND."""
    return await _remove(req, backup)


# That of a session


@endpoint("GET", _SESSION_KEY, auth=Auth.USER, limit="default")
async def get_room_key_by_session_id(req: UserRequest, backup: KeyBackup) -> Json:
    """CS getRoomKeyBySessionId. Errors: M_MISSING_PARAM, M_NOT_FOUND."""
    room_id, session_id = RoomId(req.path["room_id"]), req.path["session_id"]
    return await backup.session(req.user_id, _version_of(req), room_id, session_id)


@endpoint("PUT", _SESSION_KEY, auth=Auth.USER, limit="default")
async def put_room_key_by_session_id(req: UserRequest, backup: KeyBackup) -> Json:
    """CS putRoomKeyBySessionId. Errors: as of putRoomKeys."""
    session = {req.path["session_id"]: req.body(KeyBackupData)}
    return await _store(req, backup, {req.path["room_id"]: session})


@endpoint("DELETE", _SESSION_KEY, auth=Auth.USER, limit="default")
async def delete_room_key_by_session_id(req: UserRequest, backup: KeyBackup) -> Json:
    """CS deleteRoomKeyBySessionId. Errors: M_MISSING_PARAM, M_NOT_FOUND."""
    return await _remove(req, backup)


async def _store(
    req: UserRequest, backup: KeyBackup, rooms: dict[str, dict[str, KeyBackupData]]
) -> Json:
    sessions = parse_sessions(rooms)
    stored = await backup.store(req.user_id, _version_of(req), sessions)
    return stored.body()


async def _remove(req: UserRequest, backup: KeyBackup) -> Json:
    stored = await backup.remove(req.user_id, _version_of(req), _scope_of(req))
    return stored.body()


def _version_of(req: UserRequest) -> str:
    return req.query.require("version")


def _scope_of(req: UserRequest) -> Scope:
    room_id = req.path.get("room_id")
    session_id = req.path.get("session_id")
    return Scope(None if room_id is None else RoomId(room_id), session_id)
