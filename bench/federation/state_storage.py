"""What the room engine stores of a room's state, measured in its database."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.client import check
from bench.federation.signed_room import JOIN, VERSION, Pdu, SignedEvent, SignedRoom
from bench.scenarios.subject import Metrics, new_text
from tests.rooms.federation.servers import Engine, running_engine
from tremula.infra.config import PostgresUrl, SqliteFile
from tremula.infra.db import Database
from tremula.infra.db import Engine as DatabaseEngine
from tremula.protocol.identifiers import RoomId, ServerName
from tremula.protocol.room_state import StateKey, member_key
from tremula.protocol.signing import SigningKey

_REMOTE: Final = ServerName("remote.test")
_KEY: Final = SigningKey.from_seed("ed25519:hand", bytes(32))
_AT_ONCE: Final = 50
# A row of a snapshot beside its key's texts: the numbers of snapshot and event.
_NUMBERS_BYTES: Final = 16

_ROWS: Final = """
SELECT (SELECT COUNT(*) FROM rooms_state_changes)
     + (SELECT COUNT(*) FROM rooms_branches)
     + (SELECT COUNT(*) FROM rooms_extremities)
     + (SELECT COUNT(*) FROM rooms_current_state)
"""
_SQLITE_BYTES: Final = """
SELECT SUM(stat.pgsize)
FROM dbstat stat JOIN sqlite_schema item ON item.name = stat.name
WHERE stat.aggregate = TRUE AND item.tbl_name IN (
    'rooms_state_changes', 'rooms_branches', 'rooms_extremities', 'rooms_current_state'
)
"""
_POSTGRES_BYTES: Final = """
SELECT pg_total_relation_size('rooms_state_changes')
     + pg_total_relation_size('rooms_branches')
     + pg_total_relation_size('rooms_extremities')
     + pg_total_relation_size('rooms_current_state')
"""


@dataclass(frozen=True, slots=True)
class StateStorage:
    """*joins* to a room that has *members*, and then *messages*; every so manieth of
    these is a change of the state instead, and every so manieth two changes that do not
    know of each other, both of which the next one follows.

    The figures are those of one event: the rows and bytes that the tables of the state
    grew by, indexes included; and what the whole state written down with each event
    would take at least, the bare contents of its rows.
    """

    members: int
    messages: int
    change_every: int = 10
    fork_every: int = 0
    joins: int = 0

    async def run(self, source: SqliteFile | PostgresUrl) -> Metrics:
        """Feed the room engine, on a new database.

        Raises:
            WrongAnswer: it does not accept an event.
        """
        async with running_engine("bench.test", source) as engine:
            return await self._grown(engine)

    async def _grown(self, engine: Engine) -> Metrics:
        room_id = await engine.create(VERSION.id, engine.user("alice"))
        story = await _new_story(engine, room_id)
        await _feed(engine, room_id, [story.join() for _ in range(self.members)])
        story.snapshot_rows = story.snapshot_bytes = 0
        rows, size_bytes = await _stored(engine.database)
        events = list(self._events(story))
        await _feed(engine, room_id, events)
        rows_after, size_bytes_after = await _stored(engine.database)
        totals = {
            "rows": rows_after - rows,
            "bytes": size_bytes_after - size_bytes,
            "snapshot_rows": story.snapshot_rows,
            "snapshot_bytes": story.snapshot_bytes,
        }
        return {name: total / len(events) for name, total in totals.items()}

    def _events(self, story: "_Story") -> Iterator[Pdu]:
        for _ in range(self.joins):
            yield story.join()
        for number in range(1, self.messages + 1):
            if self.fork_every and number % self.fork_every == 0:
                yield from story.fork()
            elif number % self.change_every == 0:
                yield story.change()
            else:
                yield story.message()


@dataclass(slots=True)
class _Story:
    """Events of users of another server, and what snapshots of the state would take."""

    room: SignedRoom
    snapshot_rows: int = 0
    snapshot_bytes: int = 0
    _users: list[str] = field(default_factory=list)
    _changes: int = 0
    _state_bytes: int = 0

    def __post_init__(self) -> None:
        self._state_bytes = sum(map(_row_bytes, self.room.state))

    def join(self) -> Pdu:
        """Somebody joins."""
        user_id = f"@member{len(self._users)}:{_REMOTE}"
        self._users.append(user_id)
        self._state_bytes += _row_bytes(member_key(user_id))
        return self._counted(self.room.join(user_id))

    def message(self) -> Pdu:
        """The first member says something."""
        return self._counted(self.room.message(self._users[0], new_text()))

    def change(self) -> Pdu:
        """A member takes another name."""
        return self._counted(self._renaming(self.room))

    def fork(self) -> Iterator[Pdu]:
        """Two members take other names, neither having seen the other's."""
        base, other = dict(self.room.state), self.room.fork()
        yield self.change()
        yield self._counted(self._renaming(other))
        self.room.merge(other, base)

    def _renaming(self, room: SignedRoom) -> SignedEvent:
        self._changes += 1
        user_id = self._users[self._changes % len(self._users)]
        content = {**JOIN, "displayname": f"Name {self._changes}"}
        return room.add(user_id, "m.room.member", content, user_id)

    def _counted(self, event: SignedEvent) -> Pdu:
        self.snapshot_rows += len(self.room.state)
        self.snapshot_bytes += self._state_bytes
        return event.pdu


async def _new_story(engine: Engine, room_id: RoomId) -> _Story:
    room = await engine.registry.find(room_id)
    assert room is not None
    heads = tuple(each.event_id for each in room.head.extremities)
    state = await engine.state(room_id)
    return _Story(SignedRoom(room_id, _KEY, state, heads, room.head.depth))


async def _feed(engine: Engine, room_id: RoomId, pdus: Sequence[Pdu]) -> None:
    for start in range(0, len(pdus), _AT_ONCE):
        portion = pdus[start : start + _AT_ONCE]
        for receipt in await engine.receive(room_id, *portion, origin=_REMOTE):
            check(receipt.reason is None, f"not accepted: {receipt.reason}")


async def _stored(database: Database) -> tuple[int, int]:
    """How many rows, and how many bytes."""
    is_sqlite = database.engine is DatabaseEngine.SQLITE
    [[rows]] = await database.scan(_ROWS)
    [[size_bytes]] = await database.scan(
        _SQLITE_BYTES if is_sqlite else _POSTGRES_BYTES
    )
    return rows, size_bytes


def _row_bytes(key: StateKey) -> int:
    return len(key[0]) + len(key[1]) + _NUMBERS_BYTES
