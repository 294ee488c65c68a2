"""Backups of room keys as clients send them (CS "Server-side key backups")."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import orjson
from msgspec import Meta, Struct

from tremula.protocol.errors import BadJson, InvalidParam, TooLarge
from tremula.protocol.identifiers import RoomId, parse_room_id

MEGOLM_BACKUP_V1: Final = "m.megolm_backup.v1.curve25519-aes-sha2"

ALGORITHM_BYTES_MAX: Final = 255
AUTH_DATA_BYTES_MAX: Final = 16 * 1024
SESSION_DATA_BYTES_MAX: Final = 16 * 1024
"""Clients come to 1 KB; what makes it longer is how often a key was forwarded."""

SESSION_ID_BYTES_MAX: Final = 255

_Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class KeyBackupData(Struct, frozen=True):
    """``KeyBackupData``: a session's key, encrypted, and how good it is."""

    first_message_index: _Count
    forwarded_count: _Count
    is_verified: bool
    session_data: dict[str, Any]


class BackedUpSession(Struct, frozen=True):
    """A session's key to be stored; ``session_data`` is JSON."""

    room_id: RoomId
    session_id: str
    is_verified: bool
    first_message_index: int
    forwarded_count: int
    session_data: bytes


def parse_auth_data(algorithm: str, raw: Mapping[str, Any]) -> bytes:
    """The JSON of ``auth_data``, which is opaque but for the algorithm that we know.

    Raises:
        InvalidParam: the name of *algorithm* is empty or too long.
        TooLarge: *raw* is.
        BadJson: *raw* is not what the algorithm demands.
    """
    if not algorithm or len(algorithm.encode()) > ALGORITHM_BYTES_MAX:
        raise InvalidParam(f"algorithm must have 1 to {ALGORITHM_BYTES_MAX} bytes")
    if algorithm == MEGOLM_BACKUP_V1:
        if not isinstance(raw.get("public_key"), str):
            raise BadJson("auth_data needs a public_key")
        if not isinstance(raw.get("signatures", {}), dict):
            raise BadJson("the signatures of auth_data must be an object")
    encoded = orjson.dumps(raw)
    if len(encoded) > AUTH_DATA_BYTES_MAX:
        raise TooLarge(f"auth_data has at most {AUTH_DATA_BYTES_MAX} bytes")
    return encoded


def parse_sessions(
    rooms: Mapping[str, Mapping[str, KeyBackupData]],
) -> list[BackedUpSession]:
    """The keys of `{room_id: {session_id: data}}`.

    Raises:
        InvalidParam: a room ID is none, or the ID of a session is empty or too long.
        TooLarge: the data of a session is.
    """
    parsed = []
    for raw_room_id, sessions in rooms.items():
        room_id = parse_room_id(raw_room_id)
        for session_id, data in sessions.items():
            parsed.append(_parse_session(room_id, session_id, data))
    return parsed


def _parse_session(
    room_id: RoomId, session_id: str, data: KeyBackupData
) -> BackedUpSession:
    if not session_id or len(session_id.encode()) > SESSION_ID_BYTES_MAX:
        raise InvalidParam(
            f"the ID of a session must have 1 to {SESSION_ID_BYTES_MAX} bytes"
        )
    encoded = orjson.dumps(data.session_data)
    if len(encoded) > SESSION_DATA_BYTES_MAX:
        raise TooLarge(f"session_data has at most {SESSION_DATA_BYTES_MAX} bytes")
    return BackedUpSession(
        room_id,
        session_id,
        data.is_verified,
        data.first_message_index,
        data.forwarded_count,
        encoded,
    )
