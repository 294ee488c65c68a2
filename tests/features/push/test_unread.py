"""Unread counts in `/sync` (CS "Receiving notifications"), over HTTP."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from tests.features.push.notifying import (
    BY_THREAD,
    counts_of,
    read,
    room_of,
    say,
    unread,
    unread_threads,
)
from tests.features.rooms import create_room, join, member, set_state
from tests.features.sync.syncing import joined_rooms, sync, token
from tests.query_counter import counted
from tests.server import Server

ALICE, BOB, CAROL = "@alice:test", "@bob:test", "@carol:test"
MUTED = "/v3/pushrules/global/override/mute"


async def mute(server: Server, user_id: str, room_id: str) -> None:
    """As clients do it: by a rule for the room that notifies of nothing."""
    condition = {"kind": "event_match", "key": "room_id", "pattern": room_id}
    body = {"actions": [], "conditions": [condition]}
    assert (await server.client(user_id).put(MUTED, body)).status == 200


async def test_messages_of_others_are_counted_and_own_ones_are_not(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB, CAROL)
    await say(alice, room_id)
    await say(bob, room_id)
    await say(alice, room_id)

    assert await unread(bob, room_id) == (2, 0)
    assert await unread(alice, room_id) == (1, 0)
    assert await unread(server.client(CAROL), room_id) == (3, 0)


async def test_the_count_comes_with_the_event(server: Server) -> None:
    """ "MUST appear in the same /sync response as the event itself"."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB)
    since = await token(bob)
    for number in (1, 2):
        waiting = asyncio.ensure_future(sync(bob, since, timeout=30_000))
        event_id = await say(alice, room_id)
        answer = await waiting
        since = answer["next_batch"]
        events = answer["rooms"]["join"][room_id]["timeline"]["events"]
        assert [event["event_id"] for event in events] == [event_id]
        assert counts_of(answer, room_id) == (number, 0)


async def test_a_mention_is_a_highlight(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB, CAROL)
    await say(
        alice, room_id, content={"m.mentions": {"user_ids": [BOB, "@nobody:test"]}}
    )

    assert await unread(bob, room_id) == (1, 1)
    assert await unread(server.client(CAROL), room_id) == (1, 0)


@pytest.mark.parametrize(("sender", "highlights"), [(ALICE, 1), (BOB, 0)])
async def test_a_mention_of_the_room_takes_power(
    server: Server, sender: str, highlights: int
) -> None:
    room_id = await room_of(server, ALICE, BOB, CAROL)
    await say(server.client(sender), room_id, content={"m.mentions": {"room": True}})

    assert await unread(server.client(CAROL), room_id) == (1, highlights)


async def test_what_does_not_notify_is_not_counted(server: Server) -> None:
    """Notices, edits, reactions, state: by the predefined rules."""
    alice = server.client(ALICE)
    room_id = await room_of(server, ALICE, BOB)
    event_id = await say(alice, room_id, content={"msgtype": "m.notice"})
    relation = {"rel_type": "m.replace", "event_id": event_id}
    edit = {"m.new_content": {"msgtype": "m.text", "body": "x"}}
    await say(alice, room_id, content={**edit, "m.relates_to": relation})
    reaction = {"rel_type": "m.annotation", "event_id": event_id, "key": "x"}
    await say(
        alice, room_id, event_type="m.reaction", content={"m.relates_to": reaction}
    )
    await set_state(alice, room_id, "m.room.topic", {"topic": "x"})

    assert await unread(server.client(BOB), room_id) == (0, 0)


@pytest.mark.parametrize("kind", ["m.read", "m.read.private"])
async def test_a_receipt_takes_away_what_came_up_to_it(
    server: Server, kind: str
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB)
    events = [await say(alice, room_id) for _ in range(3)]
    since = await token(bob)

    await read(bob, room_id, events[1], kind)
    answer = await sync(bob, since)

    assert counts_of(answer, room_id) == (1, 0)
    await read(bob, room_id, events[2], kind)
    assert counts_of(await sync(bob, answer["next_batch"]), room_id) == (0, 0)
    assert await unread(bob, room_id) == (0, 0)


async def test_of_a_public_and_a_private_receipt_the_later_one_counts(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB)
    a, b, c, _ = [await say(alice, room_id) for _ in range(4)]

    await read(bob, room_id, c, "m.read")
    await read(bob, room_id, a, "m.read.private")
    assert await unread(bob, room_id) == (1, 0)
    await read(bob, room_id, b, "m.read.private")

    assert await unread(bob, room_id) == (1, 0)


async def test_a_client_that_wants_no_receipts_is_told_all_the_same(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB)
    event_id = await say(alice, room_id)
    wanted: dict[str, Any] = {"room": {"ephemeral": {"types": []}}}
    since = await token(bob, filter=wanted)

    await read(bob, room_id, event_id)
    answer = await sync(bob, since, filter=wanted)

    assert counts_of(answer, room_id) == (0, 0)
    assert (
        "ephemeral" not in answer["rooms"]["join"][room_id]
        or not (answer["rooms"]["join"][room_id]["ephemeral"]["events"])
    )


async def test_the_receipt_of_another_changes_nothing(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB, CAROL)
    event_id = await say(alice, room_id)
    await read(server.client(CAROL), room_id, event_id)

    assert await unread(bob, room_id) == (1, 0)


async def test_threads_are_counted_apart(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB)
    root = await say(alice, room_id)
    await say(alice, room_id, thread=root)
    reply = await say(
        alice, room_id, thread=root, content={"m.mentions": {"user_ids": [BOB]}}
    )

    assert await unread(bob, room_id) == (3, 1)
    assert await unread_threads(bob, room_id) == {"main": (1, 0), root: (2, 1)}

    await read(bob, room_id, root, thread_id="main")
    assert await unread_threads(bob, room_id) == {"main": (0, 0), root: (2, 1)}
    await read(bob, room_id, reply, thread_id=root)
    assert await unread_threads(bob, room_id) == {"main": (0, 0)}
    assert await unread(bob, room_id) == (0, 0)


async def test_a_receipt_for_part_of_a_thread_leaves_the_rest(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB)
    root = await say(alice, room_id)
    replies = [await say(alice, room_id, thread=root) for _ in range(3)]
    await say(alice, room_id)

    await read(bob, room_id, replies[1], thread_id=root)

    assert await unread_threads(bob, room_id) == {"main": (2, 0), root: (1, 0)}
    await read(bob, room_id, replies[2])
    assert await unread_threads(bob, room_id) == {"main": (1, 0)}


async def test_what_relates_to_a_thread_is_in_it(server: Server) -> None:
    """Whoever is notified of reactions finds them where the message is."""
    alice, bob = server.client(ALICE), server.client(BOB)
    rule = "/v3/pushrules/global/override/.m.rule.reaction/actions"
    assert (await bob.put(rule, {"actions": ["notify"]})).status == 200
    room_id = await room_of(server, ALICE, BOB)
    root = await say(alice, room_id)
    reply = await say(bob, room_id, thread=root)
    reaction = {"rel_type": "m.annotation", "event_id": reply, "key": "x"}
    await say(
        alice, room_id, event_type="m.reaction", content={"m.relates_to": reaction}
    )

    assert await unread_threads(bob, room_id) == {"main": (1, 0), root: (1, 0)}


async def test_a_muted_room_counts_nothing_more(server: Server) -> None:
    """What notified before stays: it has."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB, CAROL)
    other_id = await room_of(server, ALICE, BOB)
    await say(alice, room_id)

    await mute(server, BOB, room_id)
    for each in (room_id, other_id):
        await say(alice, each, content={"m.mentions": {"user_ids": [BOB]}})

    assert await unread(bob, room_id) == (1, 0)
    assert await unread(bob, other_id) == (1, 1)
    assert await unread(server.client(CAROL), room_id) == (2, 0)

    assert (await bob.delete(MUTED)).status == 200
    await say(alice, room_id)
    assert await unread(bob, room_id) == (2, 0)


async def test_counting_starts_with_the_join(server: Server) -> None:
    """Also with another one after leaving; a new name is none."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, CAROL)
    await say(alice, room_id)
    await join(bob, room_id)
    assert await unread(bob, room_id) == (0, 0)

    await say(alice, room_id)
    await bob.put(f"/v3/profile/{BOB}/displayname", {"displayname": "Robert"})
    assert await unread(bob, room_id) == (1, 0)

    await bob.post(f"/v3/rooms/{quote(room_id)}/leave", {})
    await say(alice, room_id)
    await join(bob, room_id)
    assert await unread(bob, room_id) == (0, 0)


async def test_a_redacted_message_is_not_counted(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB)
    await say(alice, room_id)
    event_id = await say(alice, room_id)
    assert await unread(bob, room_id) == (2, 0)

    path = f"/v3/rooms/{quote(room_id)}/redact/{quote(event_id)}/r1"
    assert (await alice.put(path, {})).status == 200

    assert await unread(bob, room_id) == (1, 0)


async def test_a_display_name_counts_where_a_rule_asks_for_it(server: Server) -> None:
    """Deprecated, but rules of the past have it."""
    alice, bob = server.client(ALICE), server.client(BOB)
    await bob.put(f"/v3/profile/{BOB}/displayname", {"displayname": "Bob *the* B."})
    room_id = await room_of(server, ALICE, BOB, CAROL)
    actions = ["notify", {"set_tweak": "highlight"}]
    condition = {"kind": "contains_display_name"}
    body = {"actions": actions, "conditions": [condition]}
    rule = "/v3/pushrules/global/override/name"
    assert (await bob.put(rule, body)).status == 200

    await say(alice, room_id, "hello bob *THE* b.!")
    await say(alice, room_id, "bob xthex b.")

    assert await unread(bob, room_id) == (2, 1)
    member_event = {"membership": "join", "displayname": "Robert"}
    assert (
        await set_state(bob, room_id, "m.room.member", member_event, BOB)
    ).status == 200
    await say(alice, room_id, "hello Robert")
    assert await unread(bob, room_id) == (3, 2)


async def test_a_keyword_counts_for_who_has_it(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB, CAROL)
    body = {"pattern": "tea", "actions": ["notify", {"set_tweak": "highlight"}]}
    assert (await bob.put("/v3/pushrules/global/content/tea", body)).status == 200
    await say(alice, room_id, "Time for tea?")
    await say(alice, room_id, "steam")

    assert await unread(bob, room_id) == (2, 1)
    assert await unread(server.client(CAROL), room_id) == (2, 0)


@pytest.mark.one_process(reason="it empties the memory of one process")
async def test_counts_are_the_same_from_memory_and_anew(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB)
    root = await say(alice, room_id)
    await unread(bob, room_id)
    await say(alice, room_id, thread=root, content={"m.mentions": {"user_ids": [BOB]}})
    await read(bob, room_id, root, thread_id="main")
    from_memory = await unread_threads(bob, room_id)

    server.app.journal.forget(server.app.journal.position)

    assert await unread_threads(bob, room_id) == from_memory
    assert from_memory == {"main": (0, 0), root: (1, 1)}


@pytest.mark.one_process(reason="it counts the queries of one process")
async def test_a_message_to_many_who_wait_reads_nothing(server: Server) -> None:
    """Each has counts of their own, all from memory."""
    users = [f"@user{number}:test" for number in range(8)]
    room_id = await room_of(server, ALICE, *users)
    alice, clients = server.client(ALICE), [server.client(each) for each in users]
    quick = {"room": {"state": {"lazy_load_members": True}}}
    tokens = [await token(client, filter=quick) for client in clients]
    for number in (1, 2):
        waiting = [
            asyncio.ensure_future(sync(client, since, filter=quick, timeout=30_000))
            for client, since in zip(clients, tokens, strict=True)
        ]
        with counted(server.db) as queries:
            await say(alice, room_id)
            answers = await asyncio.gather(*waiting)
        assert {counts_of(answer, room_id) for answer in answers} == {(number, 0)}
        tokens = [answer["next_batch"] for answer in answers]
        if number == 2:
            assert queries.reads == []
        [statements] = [
            len(unit.statements)
            for unit in queries.units
            if any("INTO push_marks" in each.sql for each in unit.statements)
        ]
        assert statements == 2


async def test_a_room_that_was_only_read_elsewhere_is_in_the_answer(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    read_id, other_id = [await room_of(server, ALICE, BOB) for _ in range(2)]
    event_id = await say(alice, read_id)
    since = await token(bob, filter=BY_THREAD)

    await read(bob, read_id, event_id, "m.read.private")

    answer = await sync(bob, since, filter=BY_THREAD)
    assert joined_rooms(answer) == {read_id}
    assert other_id not in joined_rooms(answer)


async def test_an_invitation_notifies_whom_it_invites(server: Server) -> None:
    """It is counted nowhere, but whoever has a pusher is told."""
    alice = server.client(ALICE)
    await server.client(BOB).get("/v3/account/whoami")
    room_id = await create_room(alice)

    assert (await member(alice, room_id, "invite", BOB)).status == 200

    rows = await server.db.all(
        "SELECT ruleset, notifies, actions FROM push_marks WHERE ruleset <> ''"
    )
    [(ruleset, notifies, actions)] = rows
    assert (ruleset, notifies) == (BOB, 1)
    assert "notify" in actions
