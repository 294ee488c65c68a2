"""What a real server writes to a real PostgreSQL for each thing that users do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Final
from urllib.parse import quote

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from bench.client import Homeserver, User, check, connected, each
from bench.processes import Processes, measured
from bench.scenarios.keys import upload_body
from bench.scenarios.subject import Place, Sent, Subject
from bench.scenarios.syncing import FanOut
from bench.servers import running, tremula
from bench.starting import new_folder, new_postgres
from tests.postgres_server import PostgresServer

REGISTER: Final = "a user registers, with a device"
SEND: Final = "a message is sent"
RECEIPT: Final = "a read receipt"

_SENDERS: Final = 16
_ROOMS: Final = 8
_KEYS: Final = 50
_CIPHERTEXT_BYTES: Final = 1_200
# Sessions of PostgreSQL tell what they have counted when they were idle for so long.
_STATISTICS_S: Final = 11

_WRITTEN: Final = """
    SELECT CAST(SUM(n_tup_ins) AS BIGINT) AS inserted,
           CAST(SUM(n_tup_upd) AS BIGINT) AS updated,
           CAST(SUM(n_tup_del) AS BIGINT) AS deleted,
           CAST(SUM(pg_table_size(relid)) AS BIGINT) AS table_bytes,
           CAST(SUM(pg_indexes_size(relid)) AS BIGINT) AS index_bytes,
           CAST(pg_current_wal_insert_lsn() - '0/0' AS BIGINT) AS wal_bytes
    FROM pg_stat_user_tables
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that ``work`` does ``count`` times."""

    title: str
    count: int
    work: Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Written:
    """What one of an operation has written, on average, and what it cost."""

    operation: str
    count: int
    cpu_ms: float
    postgres_cpu_ms: float
    inserted: float
    updated: float
    deleted: float
    wal_bytes: float
    table_bytes: float
    index_bytes: float


@dataclass(frozen=True, slots=True)
class Operations:
    """What was written, and the CPU that one delivery of a message takes."""

    written: Sequence[Written]
    delivery_cpu_ms: float


async def measure_operations(scale: int) -> Operations:
    """Each operation *scale* times or a multiple of that; sends most often."""
    with (
        new_folder(None) as folder,
        new_postgres(None) as postgres,
        running(tremula("Tremula", folder, postgres), postgres, starts=0) as server,
    ):
        async with connected(server.addresses) as homeserver:
            subject = Subject(server, homeserver)
            written = await _measure(subject, postgres, scale)
            delivery = await FanOut(clients=scale, messages=10).run(subject)
    return Operations(written, delivery["cpu_ms"])


async def _measure(
    subject: Subject, postgres: PostgresServer, scale: int
) -> list[Written]:
    connection = await asyncpg.connect(postgres.url("postgres"))
    try:
        return [
            await _written(connection, subject.processes, operation)
            async for operation in _operations(subject.homeserver, scale)
        ]
    finally:
        await connection.close()


async def _operations(homeserver: Homeserver, scale: int) -> AsyncIterator[Operation]:
    """One follows upon the other."""
    users: list[User] = []

    async def register() -> None:
        users.extend(await homeserver.users(scale))

    yield Operation(REGISTER, scale, register)
    room_ids: list[str] = []

    async def create() -> None:
        room_ids.extend(await each(users, User.create_room, at_once=8))

    yield Operation("a room is created", scale, create)
    joins = [(user, room_id) for room_id in room_ids[:_ROOMS] for user in users]
    yield Operation("a user joins a room", len(joins), partial(_join_all, joins))
    places = [
        Place(user, room_ids[number % _ROOMS])
        for number, user in enumerate(users[:_SENDERS])
    ]
    sent = Sent()
    sends = 40 * scale // len(places) * len(places)
    yield Operation(SEND, sends, partial(sent.send_all, places, sends))
    room_id = room_ids[0]
    event_id = await users[0].send(room_id, "read me")
    read = partial(_read_all, users, room_id, event_id)
    yield Operation(RECEIPT, len(users), read)
    uploads = [(user, upload_body(user, _KEYS)) for user in users]
    yield Operation(
        f"a device publishes its keys and {_KEYS} one-time keys",
        len(uploads),
        partial(each, uploads, _upload, at_once=4),
    )
    pairs = list(pairwise(users))
    yield Operation(
        "a message to a device is sent and fetched",
        len(pairs),
        partial(each, pairs, _tell_device, at_once=4),
    )


async def _join_all(joins: Sequence[tuple[User, str]]) -> None:
    await each(joins, lambda join: join[0].join(join[1]), at_once=8)


async def _read_all(users: Sequence[User], room_id: str, event_id: str) -> None:
    path = f"/rooms/{quote(room_id)}/receipt/m.read/{quote(event_id)}"
    await each(users, lambda user: user.post(path, {}), at_once=8)


async def _upload(upload: tuple[User, dict[str, Any]]) -> None:
    user, body = upload
    await user.post("/keys/upload", body)


async def _tell_device(pair: tuple[User, User]) -> None:
    sender, receiver = pair
    since = (await receiver.sync())["next_batch"]
    content = {"ciphertext": "x" * _CIPHERTEXT_BYTES}
    messages = {receiver.user_id: {receiver.device_id: content}}
    await sender.put("/sendToDevice/m.room.encrypted/scaling", {"messages": messages})
    answer = await receiver.sync(since=since)
    check(answer["to_device"]["events"], "the message is not there")
    # The token covers it: now it is deleted.
    await receiver.sync(since=answer["next_batch"])


async def _written(
    connection: asyncpg.Connection, processes: Processes, operation: Operation
) -> Written:
    count = operation.count
    before = await _counts(connection)
    async with measured(processes) as usage:
        await operation.work()
    await asyncio.sleep(_STATISTICS_S)
    after = await _counts(connection)
    return Written(
        operation.title,
        count,
        **usage.cpu_ms_per(count),
        **{name: (after[name] - before[name]) / count for name in after},
    )


async def _counts(connection: asyncpg.Connection) -> dict[str, int]:
    row = await connection.fetchrow(_WRITTEN)
    assert row is not None
    return {name: int(value) for name, value in row.items()}
