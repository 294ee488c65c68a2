"""What marking events costs, and how it is kept up to date."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch
from urllib.parse import quote

import pytest

from tests.features.push.notifying import room_of, say, unread
from tests.features.rooms import create_room, join, send
from tests.query_counter import Queries, counted
from tests.server import Server
from tremula.protocol.push_conditions import PushEvent, Reader
from tremula.protocol.push_evaluation import Outcome, Ruleset

ALICE, BOB, CAROL = "@alice:test", "@bob:test", "@carol:test"
RULES = "/v3/pushrules/global"
TEA = {"pattern": "tea", "actions": ["notify", {"set_tweak": "highlight"}]}

pytestmark = pytest.mark.one_process(reason="it looks into one process")


@contextmanager
def evaluations() -> Iterator[list[str]]:
    """The keys of the rulesets that are evaluated in the block."""
    keys: list[str] = []
    evaluate = Ruleset.evaluate

    def counting(self: Ruleset, event: PushEvent, reader: Reader) -> Outcome:
        keys.append(self.key)
        return evaluate(self, event, reader)

    with patch.object(Ruleset, "evaluate", counting):
        yield keys


def statements_of_events(queries: Queries) -> list[int]:
    """How many statements each unit has that stores an event."""
    return [
        len(unit.statements)
        for unit in queries.units
        if any("INTO rooms_events" in each.sql for each in unit.statements)
    ]


async def set_rule(server: Server, user_id: str, path: str, body: object) -> None:
    response = await server.client(user_id).put(f"{RULES}/{path}", body)
    assert response.status == 200, response.body


async def test_each_ruleset_is_evaluated_once_whoever_has_it(server: Server) -> None:
    """Those with the same keyword are one, and so are all who muted other rooms."""
    users = [f"@user{number}:test" for number in range(12)]
    room_id = await room_of(server, ALICE, *users)
    for user_id in users[:4]:
        await set_rule(server, user_id, f"content/{user_id[1:6]}", TEA)
    for number, user_id in enumerate(users[4:8]):
        rule = quote(f"!other{number}:test")
        await set_rule(server, user_id, f"room/{rule}", {"actions": []})
    alice = server.client(ALICE)
    await send(alice, room_id)

    with evaluations() as keys:
        await send(alice, room_id)
    # Who has a keyword that is not there is as everybody else.
    assert keys == [""]

    with evaluations() as keys:
        await send(alice, room_id, "tea?")
    assert len(keys) == len(set(keys)) == 2

    with evaluations() as keys:
        mentioned = [users[0], users[1], users[10], users[11]]
        content = {"m.mentions": {"user_ids": mentioned}}
        await say(alice, room_id, "tea?", content=content)
    # Once more for each of the two, as those see it who are mentioned.
    assert len(keys) == 4


async def test_what_is_the_same_for_all_is_stored_once(server: Server) -> None:
    """A mark more only for those by whose rules something else follows."""
    room_id = await room_of(server, ALICE, BOB, CAROL)
    await set_rule(server, BOB, "content/tea", TEA)
    await send(server.client(ALICE), room_id, "hello")
    await send(server.client(ALICE), room_id, "tea?")

    rows = await server.db.all(
        "SELECT ruleset <> '', notifies, highlights FROM push_marks"
        " ORDER BY room_pos, ruleset"
    )

    assert [tuple(map(int, row)) for row in rows] == [(0, 1, 0), (0, 1, 0), (1, 0, 1)]


async def test_where_nobody_wants_to_know_nothing_is_stored(server: Server) -> None:
    room_id = await room_of(server, ALICE, BOB)
    master = "override/.m.rule.master/enabled"
    await set_rule(server, BOB, master, {"enabled": True})

    await send(server.client(ALICE), room_id)

    assert await server.db.all("SELECT room_pos FROM push_marks") == []


async def test_a_message_that_nobody_is_to_hear_of_is_not_evaluated(
    server: Server,
) -> None:
    """Nobody of ours is there but the sender."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    await send(alice, room_id)

    with evaluations() as keys, counted(server.db) as queries:
        await send(alice, room_id)

    assert keys == []
    assert statements_of_events(queries) == [1]


async def test_marking_in_a_warm_room_reads_nothing(server: Server) -> None:
    """One INSERT more, in the event's own unit."""
    alice = server.client(ALICE)
    room_id = await room_of(server, ALICE, BOB, CAROL)
    await set_rule(server, BOB, "content/tea", TEA)
    await send(alice, room_id)

    with counted(server.db) as queries:
        await send(alice, room_id)

    assert queries.reads == []
    assert statements_of_events(queries) == [2]


async def test_rules_that_change_count_from_then_on(server: Server) -> None:
    """In rooms that are in memory, and for who comes later."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB)
    await send(alice, room_id, "tea?")
    await set_rule(server, BOB, "content/tea", TEA)
    await send(alice, room_id, "tea?")
    assert await unread(bob, room_id) == (2, 1)

    await set_rule(server, CAROL, "content/tea", TEA)
    await join(server.client(CAROL), room_id)
    await send(alice, room_id, "tea!")

    assert await unread(server.client(CAROL), room_id) == (1, 1)


async def test_rules_of_a_room_are_read_anew_with_it(server: Server) -> None:
    """As after a restart, and in another process that takes the room."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB)
    await set_rule(server, BOB, "content/tea", TEA)
    await send(alice, room_id)
    server.app.journal.forget(server.app.journal.position)

    await send(alice, room_id, "tea!")

    assert await unread(bob, room_id) == (2, 1)


async def test_who_has_left_costs_nothing_more(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB, CAROL)
    await set_rule(server, BOB, "content/tea", TEA)
    await send(alice, room_id)
    await bob.post(f"/v3/rooms/{quote(room_id)}/leave", {})

    with evaluations() as keys:
        await send(alice, room_id)

    assert keys == [""]
