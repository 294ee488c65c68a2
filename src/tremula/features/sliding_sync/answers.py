"""Builds what an answer of sliding sync holds, as of one moment."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.features.sliding_sync.connection_state import (
    LIVE,
    ConnectionState,
    SentRoom,
    left_out,
    since,
)
from tremula.features.sliding_sync.connections import Connection
from tremula.features.sliding_sync.extensions import RoomExtensions, Told
from tremula.features.sliding_sync.left_results import LeftRoomResults
from tremula.features.sliding_sync.parts import Unread, UnreadCounter
from tremula.features.sliding_sync.personal import PersonalLists
from tremula.features.sliding_sync.request import Wanted
from tremula.features.sliding_sync.required_state import RoomConfig
from tremula.features.sliding_sync.room_lists import RoomLists, UserRooms, Windows
from tremula.features.sliding_sync.room_results import (
    JoinedRoomResults,
    RoomRequest,
    RoomResult,
)
from tremula.features.sync.invited_rooms import InvitedRooms
from tremula.features.sync.parts import SyncContext
from tremula.protocol.identifiers import RoomId
from tremula.rooms.overview import RoomOverview
from tremula.rooms.reader import RoomReader
from tremula.rooms.storage import UserRoom
from tremula.rooms.visibility import Visibility

# Rooms between two turns of the event loop: a first answer must not stall others.
_ROOMS_PER_TURN: Final = 8
_INVITED: Final = ("invite", "knock")


class Answer(Struct, frozen=True):
    """What an answer holds that reaches up to ``ctx.now``, and the state after it.

    With ``ends_rooms`` there are rooms in it that will not be listed any more. Whoever
    ``is_spoken_to`` is to be answered even if there is nothing in it.
    """

    ctx: SyncContext
    state: ConnectionState
    counts: Mapping[str, int]
    rooms: Mapping[RoomId, bytes]
    sections: Mapping[str, bytes]
    ends_rooms: bool
    is_spoken_to: bool


class _Ask(Struct, frozen=True):
    """Whose answer is built, and from where on."""

    ctx: SyncContext
    connection: Connection
    rooms: UserRooms
    windows: Windows
    direct: frozenset[str]
    before: ConnectionState
    pos: int
    bumps: Mapping[int, int]
    unread: Mapping[int, Unread]
    read: Collection[int]

    def request(self, nid: int, since_pos: int) -> RoomRequest:
        """What is wanted of a room."""
        is_joined = nid in self.rooms.joined
        bump_pos = self.bumps.get(nid) if is_joined else None
        return RoomRequest(
            config=self.windows.rooms[nid],
            since=since_pos,
            pos=self.pos,
            known=self.before.rooms.get(nid),
            is_dm=self.rooms.room_id(nid) in self.direct,
            bump_pos=bump_pos or self.rooms.positions[nid],
            unread=self.unread.get(nid),
            was_read=nid in self.read,
            lazy_device=self.connection.lazy_device,
        )


class RoomResults(Struct, frozen=True):
    """Builds the results of rooms, whatever their user is to them."""

    reader: RoomReader
    visibility: Visibility
    joined: JoinedRoomResults
    left: LeftRoomResults
    invited: InvitedRooms

    async def build(self, ask: _Ask, nid: int) -> RoomResult | None:
        """A room's result; None if nothing is to be told of it yet."""
        other = ask.rooms.others.get(nid)
        if other is None:
            return await self._joined(ask, nid)
        if other.membership in _INVITED:
            return await self._invited(ask, other)
        known = ask.before.rooms.get(nid)
        since_pos = since(known.events, ask.pos) if known else 0
        return await self.left.build(ask.ctx, other, ask.request(nid, since_pos))

    async def _joined(self, ask: _Ask, nid: int) -> RoomResult | None:
        user_id = ask.ctx.user_id
        view = await self.reader.find_room(ask.rooms.joined[nid])
        config = ask.windows.rooms[nid]
        if view is None or not view.is_joined(user_id):
            # Thrown out just now, which is told next.
            return None
        if view.partial is not None and config.required.wants_all_members:
            # Whoever takes these few for all would encrypt for them only.
            return None
        known = ask.before.rooms.get(nid)
        since_pos = since(known.events, ask.pos) if known else 0
        if since_pos and not await self.visibility.was_joined(view, user_id, since_pos):
            since_pos = 0
        return await self.joined.build(ask.ctx, view, ask.request(nid, since_pos))

    async def _invited(self, ask: _Ask, room: UserRoom) -> RoomResult | None:
        told = await self.invited.stripped_states(ask.ctx.user_id, [room])
        events = told.get(room.room_nid)
        if events is None:
            return None
        request = ask.request(room.room_nid, 0)
        is_dm = b',"is_dm":true' if request.is_dm else b""
        return RoomResult(
            b'{"initial":true,"bump_stamp":%d%b,"invite_state":[%b]}'
            % (request.bump_pos, is_dm, b",".join(events)),
            (),
            request.config,
        )


class Answers(Struct, frozen=True):
    """Builds answers."""

    lists: RoomLists
    personal: PersonalLists
    overview: RoomOverview
    unread: UnreadCounter
    results: RoomResults
    extensions: RoomExtensions

    async def build(
        self, connection: Connection, wanted: Wanted, state: ConnectionState, pos: int
    ) -> Answer:
        """What a client gets that comes with the *state* at *pos*, 0 if it begins."""
        user_id = connection.key.user_id
        direct = await self.personal.direct_rooms(user_id)
        ctx, rooms = await self.lists.of_user(connection.key, wanted, state, pos)
        windows = await self.lists.windows(ctx, rooms, wanted)
        read = await self.unread.changed_rooms(ctx, pos) if pos else ()
        news = _with_news(rooms, windows, state, direct, pos, read)
        joined = rooms.joined.keys() & set(news)
        bumps = await self.overview.bumps(joined)
        unread = await self.unread.of_rooms(ctx, joined)
        ask = _Ask(
            ctx,
            connection,
            rooms,
            windows,
            direct,
            state,
            pos,
            bumps,
            unread,
            read,
        )
        results = await self._results(ask, news)
        sent = _sent(ask, news, results)
        told = Told(
            ctx,
            pos,
            rooms,
            windows,
            sent,
            {nid: result.timeline for nid, result in results.items()},
            state.extensions,
        )
        sections = await self.extensions.sections(told, wanted, state)
        after = ConnectionState(told.sent, told.extensions)
        return Answer(
            ctx,
            state if after == state else after,
            windows.counts,
            {
                rooms.room_id(nid): result.json
                for nid, result in results.items()
                if result.json
            },
            sections,
            any(result.is_over for result in results.values()),
            wanted.extensions.e2ee and await self._is_spoken_to(ask),
        )

    async def _is_spoken_to(self, ask: _Ask) -> bool:
        """Whether a direct chat has a new event, of which a connection that is about
        keys alone is told nothing.

        COMPAT(matrix-rust-sdk, 0.18): what its encryption has to send, it sends between
        two polls of that connection. What it is about to send may answer an event that
        came on another: each step of a verification in a chat would wait for a timeout.
        """
        if ask.rooms.order or not ask.direct:
            return False
        chats = {nid for nid, room in ask.rooms.joined.items() if room in ask.direct}
        newest = await self.overview.newest(chats)
        return any(newest[nid] > ask.pos for nid in chats)

    async def _results(self, ask: _Ask, news: Sequence[int]) -> dict[int, RoomResult]:
        results: dict[int, RoomResult] = {}
        for at, nid in enumerate(news):
            if at % _ROOMS_PER_TURN == _ROOMS_PER_TURN - 1:
                await asyncio.sleep(0)
            result = await self.results.build(ask, nid)
            if result is not None:
                results[nid] = result
        return results


def _with_news(
    rooms: UserRooms,
    windows: Windows,
    state: ConnectionState,
    direct: frozenset[str],
    pos: int,
    read: Collection[int],
) -> list[int]:
    """The rooms that there may be something to tell of, the most active first."""
    scope, sent, positions = windows.rooms, state.rooms, rooms.positions
    joined = rooms.joined
    found = []
    for nid, config in scope.items():
        known = sent.get(nid)
        if (
            known is None
            or positions[nid] > since(known.events, pos)
            or nid in read
            or (nid in joined and _wants_more(known.config, config))
            or (nid in joined and known.is_dm is not (joined[nid] in direct))
        ):
            found.append(nid)
    found.sort(key=positions.__getitem__, reverse=True)
    return found


def _wants_more(known: RoomConfig, config: RoomConfig) -> bool:
    if known is config:
        return False
    return config.timeline_limit > known.timeline_limit or not known.required.covers(
        config.required
    )


def _sent(
    ask: _Ask, news: Sequence[int], results: Mapping[int, RoomResult]
) -> dict[int, SentRoom]:
    """What the client has of its rooms after an answer."""
    sent = dict(ask.before.rooms)
    for nid in news:
        result = results.get(nid)
        if result is None:
            continue
        known = sent.get(nid)
        is_dm = ask.rooms.room_id(nid) in ask.direct
        if result.is_over:
            sent.pop(nid, None)
        elif known is None:
            sent[nid] = SentRoom(result.config, is_dm=is_dm)
        else:
            sent[nid] = replace(known, config=result.config, events=LIVE, is_dm=is_dm)
    for nid in ask.rooms.order:
        if ask.rooms.positions[nid] <= ask.pos:
            break
        known = sent.get(nid)
        if known is None or (nid in ask.windows.rooms and nid in results):
            continue
        events = left_out(known.events, ask.pos)
        if events != known.events:
            sent[nid] = replace(known, events=events)
    return sent
