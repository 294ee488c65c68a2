"""Sliding sync (MSC4186): news of those rooms that a client looks at."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.features.sliding_sync.answers import Answer, Answers
from tremula.features.sliding_sync.connection_state import ConnectionState
from tremula.features.sliding_sync.connections import (
    Connection,
    Connections,
    Position,
    Settled,
)
from tremula.features.sliding_sync.device_extensions import DeviceExtensions, DeviceNews
from tremula.features.sliding_sync.extensions import members
from tremula.features.sliding_sync.request import SlidingBody
from tremula.features.sliding_sync.storage import ConnectionKey
from tremula.infra.clock import Clock
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import UserId
from tremula.rooms.memberships import Memberships

# Clients give up after about two minutes, whatever they asked for.
TIMEOUT_MAX_S: Final = 90.0


class SlidingSync(Struct, frozen=True):
    """Answers MSC4186.

    A poll with nothing new costs one look at the notifier and a future: no query,
    and nothing a room. An answer after which the client has other rooms than before,
    or for something else, is stored as that before it is given.
    """

    journal: Journal
    memberships: Memberships
    connections: Connections
    answers: Answers
    devices: DeviceExtensions
    clock: Clock

    async def answer(
        self,
        key: ConnectionKey,
        body: SlidingBody,
        position: Position | None,
        timeout_s: float,
    ) -> bytes:
        """The JSON of the answer; waits for news up to *timeout_s*, unless it is the
        first.

        Raises:
            UnknownPos: *position* is not known, or not any more.
            InvalidParam: another token is none of this server's.
        """
        await self.devices.received(key, body.to_device_since)
        if position is None:
            connection = self.connections.begin(key)
            poll = _Poll(connection, body, Position(0, 0), connection.states[0])
            found = await self._build(poll)
        else:
            connection = await self.connections.resume(key, position)
            state = connection.states[position.version]
            poll = _Poll(connection, body, position, state)
            found = await self._news(poll, timeout_s)
        return await self._give(poll, found)

    async def _news(self, poll: "_Poll", timeout_s: float) -> "_Found":
        user_id = poll.connection.key.user_id
        deadline_s = self.clock.monotonic_s() + min(timeout_s, TIMEOUT_MAX_S)
        settled = poll.connection.settled_for(poll.body, poll.position)
        found: _Found | None = None
        if settled and self.memberships.changed_pos(user_id) <= settled.pos:
            found = _Found(settled.pos, poll.state, settled.counts)
        time_is_up = False
        while True:
            if found is None or self.journal.was_woken(user_id, found.pos):
                found = await self._build(poll)
                if found.has_news:
                    return found
                poll.settle(found)
            remaining_s = deadline_s - self.clock.monotonic_s()
            if time_is_up or remaining_s <= 0:
                return found
            time_is_up = not await self._wait(user_id, found.pos, remaining_s)

    async def _wait(self, user_id: UserId, after: int, timeout_s: float) -> bool:
        if not self.journal.is_alone:
            # Other processes wake by rooms: whose members are found in memory.
            await self.memberships.joined_by(user_id)
        return await self.journal.wait(user_id, after, timeout_s)

    async def _build(self, poll: "_Poll") -> "_Found":
        wanted = poll.body.wanted
        answer = await self.answers.build(
            poll.connection, wanted, poll.state, poll.position.pos
        )
        news = await self.devices.news(
            answer.ctx, wanted.extensions, poll.position.pos, poll.body.to_device_since
        )
        return _Found(
            answer.ctx.now, answer.state, answer.counts, answer=answer, device=news
        )

    async def _give(self, poll: "_Poll", found: "_Found") -> bytes:
        connection, version = poll.connection, poll.position.version
        if found.state is not poll.state:
            version = await self.connections.store(connection, version, found.state)
        position = Position(version, found.pos)
        connection.answered_pos = found.pos
        token = self.devices.token(poll.body, found.device, found.pos)
        is_whole = token is None or token.device_pos is None
        if is_whole and not (found.answer and found.answer.ends_rooms):
            connection.settled = Settled(
                poll.body.wanted, token, version, found.pos, found.pos, found.counts
            )
        status = await self.devices.sections(
            connection.key, poll.body, found.device, token
        )
        answer = found.answer
        return _to_json(
            position,
            poll.body.txn_id,
            found.counts,
            answer.rooms if answer else {},
            {**(answer.sections if answer else {}), **status},
        )


class _Poll(Struct, frozen=True):
    """A request, and the state that its client is in."""

    connection: Connection
    body: SlidingBody
    position: Position
    state: ConnectionState

    def settle(self, found: "_Found") -> None:
        """Remember that there is no news for such a client up to there."""
        if found.state is self.state:
            self.connection.settled = Settled(
                self.body.wanted,
                self.body.to_device_since,
                self.position.version,
                self.position.pos,
                found.pos,
                found.counts,
            )


class _Found(Struct, frozen=True):
    """What there is for a client up to ``pos``; without an answer: nothing."""

    pos: int
    state: ConnectionState
    counts: Mapping[str, int]
    answer: Answer | None = None
    device: DeviceNews | None = None

    @property
    def has_news(self) -> bool:
        """Whether a client that waits is to be answered."""
        answer, device = self.answer, self.device
        return (
            answer is not None
            and (bool(answer.rooms or answer.sections) or answer.is_spoken_to)
        ) or (device is not None and device.has_news)


def _to_json(
    position: Position,
    txn_id: str | None,
    counts: Mapping[str, int],
    rooms: Mapping[Any, bytes],
    sections: Mapping[str, bytes],
) -> bytes:
    """Of pieces, put together once: a first answer may have megabytes."""
    lists = {name: {"count": count} for name, count in counts.items()}
    return b"".join(_pieces(position, txn_id, orjson.dumps(lists), rooms, sections))


def _pieces(
    position: Position,
    txn_id: str | None,
    lists: bytes,
    rooms: Mapping[Any, bytes],
    sections: Mapping[str, bytes],
) -> Iterator[bytes]:
    yield b'{"pos":"%b",' % str(position).encode()
    if txn_id is not None:
        yield b'"txn_id":%b,' % orjson.dumps(txn_id)
    yield b'"lists":%b,"rooms":{' % lists
    yield members(rooms)
    yield b'},"extensions":{'
    yield b",".join(
        b'"%b":%b' % (name.encode(), value) for name, value in sections.items()
    )
    yield b"}}"
