"""Queries on ``account_data`` (0004_account_data.sql)."""

from collections.abc import Sequence
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import UserId

# The room nid of account data that belongs to no room.
GLOBAL: Final = 0


class AccountDatum(Struct, frozen=True):
    """A row of ``account_data`` but for its owner; ``content`` is a JSON object."""

    room_nid: int
    type: str
    content: bytes

    def to_json(self) -> bytes:
        """The event that clients are shown."""
        return b'{"type":%b,"content":%b}' % (orjson.dumps(self.type), self.content)


class SeenContent(Struct, frozen=True):
    """A content as it was read, and the position of its setting."""

    content: bytes
    pos: int

    def parsed(self) -> dict[str, Any]:
        """The content, which is a JSON object."""
        content: dict[str, Any] = orjson.loads(self.content)
        return content


async def find_content(
    db: Reader, user_id: UserId, room_nid: int, data_type: str
) -> SeenContent | None:
    """The content of one type, global or of a room."""
    row = await db.first(
        """
        SELECT content, pos FROM account_data
        WHERE user_id = :user_id AND room_nid = :room_nid AND type = :type
        """,
        user_id=user_id,
        room_nid=room_nid,
        type=data_type,
    )
    return SeenContent(*row) if row else None


async def contents_of_type(
    db: Reader, user_id: UserId, data_type: str
) -> list[tuple[int, bytes]]:
    """``(room_nid, content)`` of one type in all rooms; reads all the user has set."""
    rows = await db.scan(
        """
        SELECT room_nid, content FROM account_data
        WHERE user_id = :user_id AND type = :type AND room_nid <> 0
        """,
        user_id=user_id,
        type=data_type,
    )
    return [(room_nid, content) for room_nid, content in rows]


async def count_types(db: Reader, user_id: UserId, room_nid: int) -> int:
    """How many types the user has set, globally or in a room."""
    row = await db.first(
        """
        SELECT COUNT(*) FROM account_data
        WHERE user_id = :user_id AND room_nid = :room_nid
        """,
        user_id=user_id,
        room_nid=room_nid,
    )
    assert row is not None
    count: int = row[0]
    return count


async def data_after(
    db: Reader, user_id: UserId, *, after: int, up_to: int
) -> list[AccountDatum]:
    """What was set between two positions, globally and in rooms, in order."""
    rows = await db.all(
        """
        SELECT room_nid, type, content FROM account_data
        WHERE user_id = :user_id AND pos > :after AND pos <= :up_to
        ORDER BY pos
        """,
        user_id=user_id,
        after=after,
        up_to=up_to,
    )
    return [AccountDatum(*row) for row in rows]


async def data_of_rooms(
    db: Reader, user_id: UserId, room_nids: Sequence[int], *, up_to: int
) -> list[AccountDatum]:
    """All that is set in up to 500 rooms, or with `GLOBAL` in none."""
    rows = await db.all(
        """
        SELECT room_nid, type, content FROM account_data
        WHERE user_id = :user_id AND room_nid IN :room_nids AND pos <= :up_to
        """,
        user_id=user_id,
        room_nids=list(room_nids),
        up_to=up_to,
    )
    return [AccountDatum(*row) for row in rows]


def delete_data(unit: Unit, user_id: UserId) -> None:
    """Remove everything that the user has set, globally and in rooms."""
    unit.run("DELETE FROM account_data WHERE user_id = :user_id", user_id=user_id)


def upsert_datum(unit: Unit, user_id: UserId, datum: AccountDatum, *, pos: int) -> None:
    """Set the content of one type, unless it was set at a later position: clients are
    told in the order of positions, in which processes need not commit.
    """
    unit.run(
        """
        INSERT INTO account_data (user_id, room_nid, type, content, pos)
        VALUES (:user_id, :room_nid, :type, :content, :pos)
        ON CONFLICT (user_id, room_nid, type) DO UPDATE
        SET content = excluded.content, pos = excluded.pos
        WHERE account_data.pos < excluded.pos
        """,
        user_id=user_id,
        room_nid=datum.room_nid,
        type=datum.type,
        content=datum.content,
        pos=pos,
    )


def replace_datum(
    unit: Unit, user_id: UserId, datum: AccountDatum, *, seen_pos: int, pos: int
) -> None:
    """Set the content of one type that was set at *seen_pos* last (0: never).

    If it has been set since, the unit fails with ``Conflict``.
    """
    unit.run(
        """
        INSERT INTO account_data (user_id, room_nid, type, content, pos)
        VALUES (:user_id, :room_nid, :type, :content, :pos)
        ON CONFLICT (user_id, room_nid, type) DO UPDATE
        SET content = excluded.content,
            pos = CASE WHEN account_data.pos = :seen_pos THEN excluded.pos END
        """,
        user_id=user_id,
        room_nid=datum.room_nid,
        type=datum.type,
        content=datum.content,
        seen_pos=seen_pos,
        pos=pos,
    )
