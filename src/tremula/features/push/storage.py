"""Queries on ``push_rules``, ``push_past_rulesets``, ``push_marks`` (0029_push.sql)."""

from collections.abc import Sequence
from typing import Final, LiteralString

import msgspec
from msgspec import Struct

from tremula.features.push.marks import EventMarks
from tremula.infra.db import Engine, Reader, Unit
from tremula.protocol.identifiers import UserId

USERS_PER_QUERY: Final = 500

MARKS_KEPT: Final = 10_000
"""Of how many of its newest events a room keeps the marks at least."""

PAST_KEPT: Final = 100
"""How many of the newest rows of ``push_past_rulesets`` a user keeps."""

# What is wanted comes as JSON, since no list can carry more than one value a row.
_WANTED_SQLITE: LiteralString = """
    WITH wanted AS (
        SELECT json_extract(value, '$[0]') AS room_nid,
               json_extract(value, '$[1]') AS ruleset,
               json_extract(value, '$[2]') AS after_room_pos,
               json_extract(value, '$[3]') AS after_pos,
               json_extract(value, '$[4]') AS until_pos
        FROM json_each(:wanted)
    ),
    floors AS (
        SELECT json_extract(value, '$[0]') AS room_nid,
               json_extract(value, '$[1]') AS thread,
               json_extract(value, '$[2]') AS room_pos
        FROM json_each(:floors)
    )
"""
_WANTED_POSTGRES: LiteralString = """
    WITH wanted AS (
        SELECT CAST(value ->> 0 AS BIGINT) AS room_nid,
               value ->> 1 AS ruleset,
               CAST(value ->> 2 AS BIGINT) AS after_room_pos,
               CAST(value ->> 3 AS BIGINT) AS after_pos,
               CAST(value ->> 4 AS BIGINT) AS until_pos
        FROM jsonb_array_elements(CAST(CAST(:wanted AS TEXT) AS JSONB)) AS w(value)
    ),
    floors AS (
        SELECT CAST(value ->> 0 AS BIGINT) AS room_nid,
               value ->> 1 AS thread,
               CAST(value ->> 2 AS BIGINT) AS room_pos
        FROM jsonb_array_elements(CAST(CAST(:floors AS TEXT) AS JSONB)) AS f(value)
    )
"""
# From the few rooms to their marks; SQLite takes CROSS JOIN as an order.
_MARKS: LiteralString = """
    FROM wanted w CROSS JOIN push_marks m LEFT JOIN floors f
        ON f.room_nid = w.room_nid AND f.thread = m.thread
    WHERE m.room_nid = w.room_nid AND m.ruleset = w.ruleset
        AND m.room_pos > w.after_room_pos
        AND m.pos > w.after_pos AND m.pos <= w.until_pos
        AND (f.room_pos IS NULL OR m.room_pos > f.room_pos)
        AND m.sender <> :user_id
"""
_COUNTED: LiteralString = """
    SELECT m.room_nid, m.thread, CAST(SUM(m.notifies) AS BIGINT),
           CAST(SUM(m.highlights) AS BIGINT), MAX(m.room_pos)
"""
_BY_THREAD: LiteralString = "GROUP BY m.room_nid, m.thread"
_COUNTS: Final[dict[Engine, LiteralString]] = {
    Engine.SQLITE: _WANTED_SQLITE + _COUNTED + _MARKS + _BY_THREAD,
    Engine.POSTGRES: _WANTED_POSTGRES + _COUNTED + _MARKS + _BY_THREAD,
}
# Of each room no more are looked at than are wanted.
_LISTED: LiteralString = """
    SELECT m.room_nid, m.room_pos, m.event_nid, m.pos, m.ruleset, m.thread,
           m.notifies, m.highlights, m.actions
    FROM wanted w CROSS JOIN push_marks m
    WHERE m.room_nid = w.room_nid AND m.ruleset = w.ruleset AND m.room_pos IN (
        SELECT n.room_pos FROM push_marks n
        WHERE n.room_nid = w.room_nid AND n.ruleset = w.ruleset
            AND n.room_pos > w.after_room_pos
            AND n.pos > w.after_pos AND n.pos <= w.until_pos
            AND n.sender <> :user_id
            AND (n.highlights <> 0 OR CAST(:only_highlights AS BIGINT) = 0)
        ORDER BY n.room_pos DESC LIMIT CAST(:limit AS BIGINT)
    )
    ORDER BY m.pos DESC, m.ruleset DESC LIMIT CAST(:limit AS BIGINT)
"""
_LISTS: Final[dict[Engine, LiteralString]] = {
    Engine.SQLITE: _WANTED_SQLITE + _LISTED,
    Engine.POSTGRES: _WANTED_POSTGRES + _LISTED,
}

# By way of the rulesets of the room's marks, each found from the one before: an index
# by event would be written with every mark, for the few that are deleted.
_DELETE: LiteralString = """
    WITH RECURSIVE rulesets (ruleset) AS (
        SELECT MIN(ruleset) FROM push_marks WHERE room_nid = :room_nid
        UNION ALL
        SELECT (SELECT MIN(m.ruleset) FROM push_marks m
                WHERE m.room_nid = :room_nid AND m.ruleset > r.ruleset)
        FROM rulesets r WHERE r.ruleset IS NOT NULL
    )
    DELETE FROM push_marks
    WHERE room_nid = :room_nid AND ruleset IN (SELECT ruleset FROM rulesets)
"""
_DELETE_OF_EVENT: Final[LiteralString] = _DELETE + "AND room_pos = :room_pos"
_DELETE_UP_TO: Final[LiteralString] = _DELETE + "AND room_pos <= :room_pos"


class StoredRules(Struct, frozen=True):
    """A row of ``push_rules``."""

    rules: bytes
    pos: int


class PastRuleset(Struct, frozen=True):
    """A row of ``push_past_rulesets``; ``room_id`` is empty for all other rooms."""

    until_pos: int
    room_id: str
    ruleset: str


class Wanted(Struct, frozen=True, array_like=True):
    """Marks of one key in a room: in the room after ``after_room_pos``, and in the
    journal after ``after_pos`` up to ``until_pos``.
    """

    room_nid: int
    ruleset: str
    after_room_pos: int
    after_pos: int
    until_pos: int


class ThreadFloor(Struct, frozen=True, array_like=True):
    """The marks of a thread count after this place in the room."""

    room_nid: int
    thread: str
    room_pos: int


class ThreadCount(Struct, frozen=True):
    """The marks of a thread, summed up; ``newest_room_pos`` is the last one's place."""

    room_nid: int
    thread: str
    notifies: int
    highlights: int
    newest_room_pos: int


class ListedMark(Struct, frozen=True):
    """A row of ``push_marks``."""

    room_nid: int
    room_pos: int
    event_nid: int
    pos: int
    ruleset: str
    thread: str
    notifies: int
    highlights: int
    actions: str


async def find_rules(db: Reader, user_id: UserId) -> StoredRules | None:
    """What the user has set."""
    row = await db.first(
        "SELECT rules, pos FROM push_rules WHERE user_id = :user_id", user_id=user_id
    )
    return None if row is None else StoredRules(*row)


async def rules_of(db: Reader, user_ids: Sequence[UserId]) -> dict[UserId, bytes]:
    """What those of at most 500 users have set who have set anything."""
    rows = await db.all(
        "SELECT user_id, rules FROM push_rules WHERE user_id IN :user_ids",
        user_ids=list(user_ids),
    )
    return {UserId(user_id): rules for user_id, rules in rows}


async def past_rulesets(db: Reader, user_id: UserId) -> list[PastRuleset]:
    """The keys that the user's rules had before, oldest first."""
    rows = await db.all(
        """
        SELECT until_pos, room_id, ruleset FROM push_past_rulesets
        WHERE user_id = :user_id ORDER BY until_pos, room_id
        """,
        user_id=user_id,
    )
    return [PastRuleset(*row) for row in rows]


def replace_rules(
    unit: Unit, user_id: UserId, rules: bytes, *, seen_pos: int, pos: int
) -> None:
    """Store what the user has set; *seen_pos* is that of what was read, or 0.

    If it is another by now, the unit fails with ``Conflict``.
    """
    unit.run(
        """
        INSERT INTO push_rules (user_id, rules, pos) VALUES (:user_id, :rules, :pos)
        ON CONFLICT (user_id) DO UPDATE
        SET rules = excluded.rules,
            pos = CASE WHEN push_rules.pos = :seen_pos THEN excluded.pos END
        """,
        user_id=user_id,
        rules=rules,
        seen_pos=seen_pos,
        pos=pos,
    )


def insert_past(unit: Unit, user_id: UserId, past: Sequence[PastRuleset]) -> None:
    """Remember the keys that the user's rules had up to now, and not too many."""
    unit.run_many(
        """
        INSERT INTO push_past_rulesets (user_id, until_pos, room_id, ruleset)
        VALUES (:user_id, :until_pos, :room_id, :ruleset)
        """,
        [
            {
                "user_id": user_id,
                "until_pos": each.until_pos,
                "room_id": each.room_id,
                "ruleset": each.ruleset,
            }
            for each in past
        ],
    )
    unit.run(
        """
        DELETE FROM push_past_rulesets
        WHERE user_id = :user_id AND until_pos <= (
            SELECT until_pos FROM push_past_rulesets WHERE user_id = :user_id
            ORDER BY until_pos DESC LIMIT 1 OFFSET :kept
        )
        """,
        user_id=user_id,
        kept=PAST_KEPT,
    )


def delete_user(unit: Unit, user_id: UserId, room_nids: Sequence[int]) -> None:
    """Delete a user's rules, and what is theirs alone in rooms (at most 500)."""
    unit.run("DELETE FROM push_rules WHERE user_id = :user_id", user_id=user_id)
    unit.run("DELETE FROM push_past_rulesets WHERE user_id = :user_id", user_id=user_id)
    unit.run_many(
        "DELETE FROM push_marks WHERE room_nid = :room_nid AND ruleset = :user_id",
        [{"room_nid": nid, "user_id": user_id} for nid in room_nids],
    )


def insert_marks(unit: Unit, event: EventMarks) -> None:
    """Store the marks of an event."""
    unit.run_many(
        """
        INSERT INTO push_marks (room_nid, ruleset, room_pos, event_nid, pos, thread,
                                sender, notifies, highlights, actions)
        VALUES (:room_nid, :ruleset, :room_pos, :event_nid, :pos, :thread,
                :sender, :notifies, :highlights, :actions)
        """,
        [
            {
                "room_nid": event.room_nid,
                "ruleset": ruleset,
                "room_pos": event.room_pos,
                "event_nid": event.event_nid,
                "pos": event.pos,
                "thread": event.thread,
                "sender": event.sender,
                "notifies": mark.notifies,
                "highlights": mark.highlights,
                "actions": mark.actions,
            }
            for ruleset, mark in event.marks.items()
        ],
    )


def delete_mark(unit: Unit, room_nid: int, ruleset: str, room_pos: int) -> None:
    """Delete one mark of an event."""
    unit.run(
        """
        DELETE FROM push_marks
        WHERE room_nid = :room_nid AND ruleset = :ruleset AND room_pos = :room_pos
        """,
        room_nid=room_nid,
        ruleset=ruleset,
        room_pos=room_pos,
    )


def delete_marks(unit: Unit, room_nid: int, room_pos: int) -> None:
    """Delete the marks of an event; a look-up for each ruleset of the room's marks."""
    unit.run(_DELETE_OF_EVENT, room_nid=room_nid, room_pos=room_pos)


def delete_old_marks(unit: Unit, room_nid: int, *, newest_pos: int) -> None:
    """Keep the marks of the newest events of a room only; *newest_pos* is the place of
    the last one.
    """
    oldest_pos = newest_pos - MARKS_KEPT
    unit.run(_DELETE_UP_TO, room_nid=room_nid, room_pos=oldest_pos)


async def thread_counts(
    db: Reader,
    user_id: UserId,
    wanted: Sequence[Wanted],
    floors: Sequence[ThreadFloor],
) -> list[ThreadCount]:
    """How many marks there are for the user in each thread of the rooms."""
    read = db.all if len(wanted) < 50 else db.scan
    rows = await read(
        _COUNTS[db.engine],
        user_id=user_id,
        wanted=_json(wanted),
        floors=_json(floors),
    )
    return [ThreadCount(*row) for row in rows]


async def newest_marks(
    db: Reader,
    user_id: UserId,
    wanted: Sequence[Wanted],
    *,
    only_highlights: bool,
    limit: int,
) -> list[ListedMark]:
    """The newest marks for the user, at most *limit*, the newest first.

    Of an event there may be three: that of all, that of the key, and the user's own.
    """
    rows = await db.scan(
        _LISTS[db.engine],
        user_id=user_id,
        wanted=_json(wanted),
        floors="[]",
        only_highlights=int(only_highlights),
        limit=limit,
    )
    return [ListedMark(*row) for row in rows]


def _json(rows: Sequence[Struct]) -> str:
    return msgspec.json.encode(rows).decode()
