"""Nobody annotates an event twice in the same way (CS "Avoiding duplicate…")."""

import asyncio
from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, error_of, join, send
from tests.http_client import Client, HttpResponse
from tests.query_counter import counted
from tests.server import Server

ALICE, BOB = "@alice:test", "@bob:test"
DUPLICATE = (400, "M_DUPLICATE_ANNOTATION")


async def react(
    client: Client,
    room_id: str,
    target: str,
    *,
    txn_id: str,
    key: str = "👍",
    event_type: str = "m.reaction",
) -> HttpResponse:
    """Annotate *target*."""
    relation = {"rel_type": "m.annotation", "event_id": target, "key": key}
    path = f"/v3/rooms/{quote(room_id)}/send/{event_type}/{txn_id}"
    return await client.put(path, {"m.relates_to": relation})


async def redact(client: Client, room_id: str, event_id: str) -> None:
    """Redact an event, which must succeed."""
    path = f"/v3/rooms/{quote(room_id)}/redact/{quote(event_id)}/{quote(event_id)}"
    response = await client.put(path, {})
    assert response.status == 200, response.body


async def test_a_second_annotation_with_one_key_is_refused(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    target = await send(alice, room_id)
    first = await react(alice, room_id, target, txn_id="1")

    assert first.status == 200
    assert error_of(await react(alice, room_id, target, txn_id="2")) == DUPLICATE
    assert (await react(alice, room_id, target, txn_id="1")).json == first.json


async def test_annotations_that_differ_are_sent(server: Server) -> None:
    """By user, target, key or event type."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    target, other = [await send(alice, room_id) for _ in range(2)]
    await react(alice, room_id, target, txn_id="first")

    different = [
        await react(bob, room_id, target, txn_id="1"),
        await react(alice, room_id, other, txn_id="2"),
        await react(alice, room_id, target, txn_id="3", key="👎"),
        await react(alice, room_id, target, txn_id="4", event_type="org.example.x"),
    ]

    assert [response.status for response in different] == [200] * 4


async def test_an_annotation_may_be_repeated_once_it_is_redacted(
    server: Server,
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    target = await send(alice, room_id)
    first = await react(alice, room_id, target, txn_id="1")
    await redact(alice, room_id, first.json["event_id"])

    again = await react(alice, room_id, target, txn_id="2")
    # A second redaction of the first one takes nothing from the new one.
    path = f"/v3/rooms/{quote(room_id)}/redact/{quote(first.json['event_id'])}/again"
    await alice.put(path, {})
    third = await react(alice, room_id, target, txn_id="3")

    assert again.status == 200
    assert error_of(third) == DUPLICATE


async def test_of_annotations_at_one_time_one_is_sent(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    target = await send(alice, room_id)

    answers = await asyncio.gather(
        *(react(alice, room_id, target, txn_id=str(number)) for number in range(8))
    )

    assert sorted(answer.status for answer in answers) == [200] + [400] * 7


async def test_one_request_repeated_at_one_time_is_one_annotation(
    server: Server,
) -> None:
    """The transaction ID comes first: none of them is a duplicate."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    target = await send(alice, room_id)

    answers = await asyncio.gather(
        *(react(alice, room_id, target, txn_id="same") for _ in range(4))
    )

    assert [answer.status for answer in answers] == [200] * 4
    assert len({answer.json["event_id"] for answer in answers}) == 1


@pytest.mark.parametrize(
    "relation",
    [
        "m.annotation",
        ["m.annotation"],
        {"rel_type": "m.annotation"},
        {"rel_type": "m.annotation", "event_id": "$e"},
        {"rel_type": "m.annotation", "event_id": 7, "key": "k"},
        {"rel_type": "m.annotation", "event_id": "$e", "key": ["k"]},
        {"rel_type": "m.thread", "event_id": "$e", "key": "k"},
    ],
)
async def test_what_is_no_annotation_may_be_repeated(
    server: Server, relation: object
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    path = f"/v3/rooms/{quote(room_id)}/send/m.reaction/"

    answers = [
        await alice.put(f"{path}{number}", {"m.relates_to": relation})
        for number in range(2)
    ]

    assert [answer.status for answer in answers] == [200, 200]


async def test_a_key_of_any_length_counts(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    target = await send(alice, room_id)
    key = "👍" * 10_000

    first = await react(alice, room_id, target, txn_id="1", key=key)
    second = await react(alice, room_id, target, txn_id="2", key=key)

    assert first.status == 200
    assert error_of(second) == DUPLICATE


@pytest.mark.one_process(reason="it counts the queries of one process")
async def test_an_annotation_costs_one_read_more_than_a_message(
    server: Server,
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    target = await send(alice, room_id)

    with counted(server.db) as queries:
        await react(alice, room_id, target, txn_id="1")

    assert len(queries.reads) == 1
    # The event, what it relates to, and what a second one alike is known by.
    assert [len(unit.statements) for unit in queries.units] == [3]
