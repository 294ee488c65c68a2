"""What a client has been sent on its connection, and how that is stored."""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from tremula.features.sliding_sync.required_state import RequiredState, RoomConfig

NEVER: Final = -1
LIVE: Final = 0
"""Something was sent never, or up to the position that the client comes with; any other
number is the position that it was sent up to: since then something was left out."""


class SentRoom(Struct, frozen=True):
    """What of a room was sent: its events, for which ``config``, and the rest of it."""

    config: RoomConfig
    events: int = LIVE
    account_data: int = NEVER
    receipts: int = NEVER
    is_dm: bool = False


class ConnectionState(Struct, frozen=True):
    """All that was sent of rooms, by nid; and the extensions of which something was.

    It is never changed but replaced.
    """

    rooms: Mapping[int, SentRoom]
    extensions: frozenset[str] = frozenset()


EMPTY: Final = ConnectionState({})


def since(sent: int, pos: int) -> int:
    """The position after which a client that comes with *pos* lacks something."""
    if sent == NEVER:
        return 0
    return pos if sent == LIVE else sent


def left_out(sent: int, pos: int) -> int:
    """What becomes of *sent* if news after *pos* are not shown."""
    return pos if sent == LIVE else sent


class _Group(Struct, array_like=True):
    """Rooms that are alike but for their numbers, as most are."""

    config: int
    events: int
    account_data: int
    receipts: int
    is_dm: bool
    room_nids: list[int]


class _Config(Struct, array_like=True):
    timeline_limit: int
    lazy_members: bool
    keys: list[tuple[str, str]]


class _Stored(Struct, array_like=True):
    extensions: list[str]
    configs: list[_Config]
    groups: list[_Group]


def encode(state: ConnectionState) -> bytes:
    """*state* in a few bytes a room."""
    groups: dict[SentRoom, list[int]] = {}
    for nid, sent in state.rooms.items():
        groups.setdefault(sent, []).append(nid)
    different = dict.fromkeys(sent.config for sent in groups)
    configs = {config: at for at, config in enumerate(different)}
    stored = _Stored(
        sorted(state.extensions),
        [
            _Config(
                each.timeline_limit,
                each.required.lazy_members,
                sorted(each.required.keys),
            )
            for each in configs
        ],
        [
            _Group(
                configs[sent.config],
                sent.events,
                sent.account_data,
                sent.receipts,
                sent.is_dm,
                nids,
            )
            for sent, nids in groups.items()
        ],
    )
    return msgspec.msgpack.encode(stored)


def decode(raw: bytes) -> ConnectionState:
    """What `encode` has made."""
    stored = msgspec.msgpack.decode(raw, type=_Stored)
    configs = [
        RoomConfig(
            each.timeline_limit, RequiredState(frozenset(each.keys), each.lazy_members)
        )
        for each in stored.configs
    ]
    rooms: dict[int, SentRoom] = {}
    for group in stored.groups:
        sent = SentRoom(
            configs[group.config],
            group.events,
            group.account_data,
            group.receipts,
            group.is_dm,
        )
        rooms.update(dict.fromkeys(group.room_nids, sent))
    return ConnectionState(rooms, frozenset(stored.extensions))
