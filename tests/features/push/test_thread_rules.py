"""The push rules of MSC4306: whoever wants it is told of the threads they follow."""

from urllib.parse import quote

import pytest

from tests.features.push.notifying import room_of, say, unread_threads
from tests.features.rooms import error_of
from tests.http_client import Client
from tests.query_counter import Queries, counted
from tests.server import Server

ALICE, BOB, CAROL = "@alice:test", "@bob:test", "@carol:test"
RULES = "/v3/pushrules/global/postcontent"
SUBSCRIBED = ".io.element.msc4306.rule.subscribed_thread"
UNSUBSCRIBED = ".io.element.msc4306.rule.unsubscribed_thread"


async def enable(client: Client) -> None:
    """Have threads count only for subscribers, for this user."""
    for rule_id in (SUBSCRIBED, UNSUBSCRIBED):
        response = await client.put(f"{RULES}/{rule_id}/enabled", {"enabled": True})
        assert response.status == 200, response.body


def subscription(room_id: str, root: str) -> str:
    return (
        f"/unstable/io.element.msc4306/rooms/{quote(room_id)}"
        f"/thread/{quote(root, safe='')}/subscription"
    )


def asked_for_subscribers(queries: Queries) -> list[str]:
    return [sql for sql in queries.reads if "thread_subscriptions" in sql]


async def test_subscribers_are_told_of_a_thread_and_others_are_not(
    server: Server,
) -> None:
    alice, bob, carol = map(server.client, (ALICE, BOB, CAROL))
    room_id = await room_of(server, ALICE, BOB, CAROL)
    for client in (bob, carol):
        await enable(client)
    root = await say(alice, room_id)
    await say(alice, room_id, thread=root)
    await bob.put(subscription(room_id, root), {})
    await say(alice, room_id, thread=root)

    assert await unread_threads(bob, room_id) == {"main": (1, 0), root: (1, 0)}
    assert await unread_threads(carol, room_id) == {"main": (1, 0)}

    await bob.delete(subscription(room_id, root))
    await say(alice, room_id, thread=root)
    mention = {"m.mentions": {"user_ids": [CAROL]}}
    await say(alice, room_id, thread=root, content=mention)
    assert await unread_threads(bob, room_id) == {"main": (1, 0), root: (1, 0)}
    assert await unread_threads(carol, room_id) == {"main": (1, 0), root: (1, 1)}


async def test_without_these_rules_a_thread_is_as_all_else(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB)
    root = await say(alice, room_id)
    await say(alice, room_id, thread=root)

    assert await unread_threads(bob, room_id) == {"main": (1, 0), root: (1, 0)}
    with counted(server.db) as queries:
        await say(alice, room_id, thread=root)
    assert not asked_for_subscribers(queries)


async def test_a_message_in_a_thread_costs_a_query_where_it_counts(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB)
    await enable(bob)
    root = await say(alice, room_id)
    await say(alice, room_id, thread=root)

    with counted(server.db) as queries:
        await say(alice, room_id, thread=root)
    assert len(asked_for_subscribers(queries)) == 1
    with counted(server.db) as queries:
        await say(alice, room_id)
    assert not asked_for_subscribers(queries)


async def test_there_are_no_other_rules_of_their_kind(server: Server) -> None:
    alice = server.client(ALICE)

    rules = (await alice.get("/v3/pushrules/global/")).json["postcontent"]
    assert [(rule["rule_id"], rule["enabled"]) for rule in rules] == [
        (UNSUBSCRIBED, False),
        (SUBSCRIBED, False),
    ]
    response = await alice.put(f"{RULES}/own", {"actions": ["notify"]})
    assert error_of(response) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize("wanted", [None, "yes", 1])
async def test_a_condition_that_says_nothing_never_holds(
    server: Server, wanted: object
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB)
    condition = {
        "kind": "io.element.msc4306.thread_subscription",
        "subscribed": wanted,
    }
    path = "/v3/pushrules/global/override/threads"
    await bob.put(path, {"actions": [], "conditions": [condition]})
    root = await say(alice, room_id)
    await say(alice, room_id, thread=root)

    assert await unread_threads(bob, room_id) == {"main": (1, 0), root: (1, 0)}
