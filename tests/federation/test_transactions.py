"""SS sendTransaction: what comes in, once, and none by another's fault."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import DatabaseSource
from tests.features.rooms import create_room, error_of, set_state
from tests.federation.network import Federation
from tests.federation.remote import Remote, add_remote
from tests.federation.rooms import RemoteRoom, send
from tests.http_client import Client
from tests.query_counter import counted
from tests.server import Server
from tremula.infra.db import DatabaseUnavailable
from tremula.protocol.errors import Unknown
from tremula.protocol.events import BuiltEvent
from tremula.protocol.identifiers import RoomId
from tremula.rooms.rooms import Rooms

ALICE = "@alice:a.test"
BOB = "@bob:far.test"
MESSAGE = "m.room.message"


@pytest.fixture
async def server(database_source: DatabaseSource, federation: Federation) -> Server:
    return await federation.start("a.test", database_source)


@pytest.fixture
def remote(federation: Federation) -> Remote:
    return add_remote(federation, "far.test")


@pytest.fixture
def alice(server: Server) -> Client:
    return server.client(ALICE)


async def room_of(server: Server, remote: Remote, **body: object) -> RemoteRoom:
    """A new room of Alice's that Bob has joined."""
    body = {"preset": "public_chat", **body}
    room_id = await create_room(server.client(ALICE), **body)
    room = RemoteRoom(server, remote, RoomId(room_id))
    await room.join(BOB)
    return room


@pytest.fixture
async def room(server: Server, remote: Remote) -> RemoteRoom:
    return await room_of(server, remote)


async def texts(alice: Client, room: RemoteRoom) -> list[str]:
    """The messages that Alice sees, oldest first."""
    path = f"/v3/rooms/{room.room_id}/messages?dir=f&limit=100"
    chunk = (await alice.get(path)).json["chunk"]
    return [e["content"].get("body") for e in chunk if e["type"] == MESSAGE]


async def message(
    room: RemoteRoom, body: str, after: BuiltEvent | None = None
) -> BuiltEvent:
    return await room.build(BOB, MESSAGE, {"body": body}, after=after)


@pytest.mark.parametrize("version", ["1", "3", "6", "10", "11", "12"])
async def test_events_come_in_and_are_shown(
    server: Server, remote: Remote, alice: Client, version: str
) -> None:
    room = await room_of(server, remote, room_version=version)
    first = await message(room, "one")
    second = await message(room, "two", after=first)

    response = await room.send(first, second)

    assert response.json == {
        "pdus": {first.event.event_id: {}, second.event.event_id: {}}
    }
    assert await texts(alice, room) == ["one", "two"]


async def test_more_than_50_pdus_are_refused_whole(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client
) -> None:
    pdu = await room.pdu(await message(room, "one"))

    response = await send(server, remote, [pdu] * 51)
    assert error_of(response) == (400, "M_BAD_JSON")
    assert await texts(alice, room) == []

    assert (await send(server, remote, [pdu] * 50)).status == 200


async def test_more_than_100_edus_are_refused_whole(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client
) -> None:
    pdu = await room.pdu(await message(room, "one"))
    edu = {"edu_type": "m.typing", "content": {}}

    response = await send(server, remote, [pdu], [edu] * 101)
    assert error_of(response) == (400, "M_BAD_JSON")
    assert await texts(alice, room) == []

    assert (await send(server, remote, [pdu], [edu] * 100)).status == 200


@pytest.mark.parametrize("body", [[], {"pdus": {}}, {"pdus": [], "edus": 7}, "x"])
async def test_a_malformed_transaction_is_refused(
    server: Server, remote: Remote, body: object
) -> None:
    response = await remote.ask(server, "/v1/send/t", method="PUT", content=body)

    assert error_of(response) == (400, "M_BAD_JSON")


async def test_an_unsigned_transaction_is_refused(server: Server) -> None:
    response = await server.anonymous.put("/_matrix/federation/v1/send/t", {"pdus": []})

    assert error_of(response) == (401, "M_UNAUTHORIZED")


@pytest.mark.one_process(reason="it counts the queries of one process")
async def test_a_transaction_that_comes_again_gets_the_same_answer(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client
) -> None:
    pdu = await room.pdu(await message(room, "one"))

    first = await send(server, remote, [pdu], txn_id="t")
    with counted(server.db) as queries:
        again = await send(server, remote, [pdu], txn_id="t")

    assert again.json == first.json
    assert not queries.units
    assert await texts(alice, room) == ["one"]


async def test_one_that_comes_again_meanwhile_gets_the_same_answer(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client
) -> None:
    pdu = await room.pdu(await message(room, "one"))

    answers = await asyncio.gather(
        *(send(server, remote, [pdu], txn_id="t") for _ in range(3))
    )

    assert len({each.body for each in answers}) == 1
    assert len(answers[0].json["pdus"]) == 1
    assert await texts(alice, room) == ["one"]


async def test_txn_ids_are_those_of_one_server(
    server: Server, federation: Federation, remote: Remote, room: RemoteRoom
) -> None:
    other = add_remote(federation, "other.test", 2)
    pdu = await room.pdu(await message(room, "one"))
    await send(server, other, txn_id="t")

    response = await send(server, remote, [pdu], txn_id="t")

    assert len(response.json["pdus"]) == 1


def _is_away(*_: object) -> None:
    raise DatabaseUnavailable("it is being restarted")


async def _is_nobodys(*_: object, **_named: object) -> None:
    raise Unknown("this part of the server is moving", status=503)


@pytest.mark.parametrize(
    ("what", "failure"),
    [("db", _is_away), ("slots", _is_nobodys)],
    ids=["database", "slot"],
)
@pytest.mark.one_process(reason="it takes away what one process has")
async def test_what_can_not_be_stored_now_is_to_be_sent_again(
    server: Server,
    remote: Remote,
    room: RemoteRoom,
    alice: Client,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    failure: Callable[..., object],
) -> None:
    pdu = await room.pdu(await message(room, "one"))
    place, name = (type(server.db), "submit") if what == "db" else (Rooms, "receive")

    with monkeypatch.context() as away:
        away.setattr(place, name, failure)
        first = await send(server, remote, [pdu], txn_id="t")
    again = await send(server, remote, [pdu], txn_id="t")

    assert (first.status, again.status) == (503, 200)
    assert await texts(alice, room) == ["one"]


async def test_many_transactions_at_once_are_refused(
    server: Server, remote: Remote, room: RemoteRoom
) -> None:
    pdu = await room.pdu(await message(room, "one"))
    answers = await asyncio.gather(*(send(server, remote, [pdu]) for _ in range(40)))

    assert {error_of(e) for e in answers if e.status != 200} == {
        (429, "M_LIMIT_EXCEEDED")
    }
    assert (await send(server, remote)).status == 200


async def test_a_known_event_is_answered_for_again(room: RemoteRoom) -> None:
    built = await message(room, "one")
    await room.send(built)

    response = await room.send(built)

    assert response.json == {"pdus": {built.event.event_id: {}}}


POISON: list[Any] = [
    None,
    7,
    [],
    {},
    {"room_id": 7},
    {"room_id": "!unknown:far.test", "event_id": 7},
    {"content": {}},
    {"type": 1, "sender": [], "depth": "x"},
    {"type": "\0", "sender": BOB, "content": {}},
    {"content": {"n": 2**63}},
    {"content": {"n": 1.5}},
    {"content": {"a": "x" * 70_000}},
    {"hashes": {"sha256": 5}},
    {"hashes": []},
    {"signatures": {"far.test": {"ed25519:r1": 5}}},
    {"signatures": {"far.test": {"ed25519:unknown": "AAAA"}}},
    {"signatures": {}},
    {"signatures": {"far.test": {f"ed25519:{n}": "AAAA" for n in range(500)}}},
    {"sender": "@bob:nowhere.test"},
    {"sender": "not a user"},
    {"prev_events": [["$a"]]},
    {"prev_events": ["$" + "x" * 43] * 30},
    {"auth_events": "all"},
    {"depth": 2**63},
    {"depth": -1},
    {"origin_server_ts": "now"},
    {"state_key": 5},
    {"unsigned": {"age": "\0"}, "redacts": 5},
]


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("version", ["1", "5", "10", "12"])
async def test_cve_2025_30355_a_poisonous_pdu_costs_no_other(
    server: Server, remote: Remote, alice: Client, version: str
) -> None:
    """Those before and after it in its room come in, and so do other rooms'."""
    room = await room_of(server, remote, room_version=version)
    other = await room_of(server, remote)
    before = await message(room, "before")
    after = await message(room, "after", after=before)
    elsewhere = await message(other, "elsewhere")
    template = await room.pdu(await message(room, "poison"))
    poison: list[object] = [
        {**template, **each} if isinstance(each, dict) and each else each
        for each in [*POISON, {"content": nested(150)}]
    ]
    for start in range(0, len(poison), 40):
        part = poison[start : start + 40]
        good = [await room.pdu(before), await room.pdu(after)]
        pdus = [good[0], *part, good[1], await other.pdu(elsewhere)]
        response = await send(server, remote, pdus)
        assert response.status == 200, response.body
        results = response.json["pdus"]
        for built in (before, after, elsewhere):
            assert results[built.event.event_id] == {}

    assert {"before", "after"} <= set(await texts(alice, room))
    assert await texts(alice, other) == ["elsewhere"]


async def test_an_event_without_its_senders_signature_is_refused(
    room: RemoteRoom, alice: Client
) -> None:
    built = await room.build("@carol:other.test", MESSAGE, {"body": "forged"})

    response = await room.send(built)

    [(event_id, result)] = response.json["pdus"].items()
    assert event_id == built.event.event_id
    assert "other.test" in result["error"]
    assert await texts(alice, room) == []


async def test_events_of_others_are_passed_on(
    server: Server, federation: Federation, remote: Remote, alice: Client
) -> None:
    """Verified by the keys of their sender's server."""
    room = await room_of(server, remote)
    other = add_remote(federation, "other.test", 2)
    built = await message(room, "relayed")

    response = await send(server, other, [await room.pdu(built)])

    assert response.json == {"pdus": {built.event.event_id: {}}}
    assert await texts(alice, room) == ["relayed"]


async def test_an_event_that_breaks_the_rules_is_answered_with_the_reason(
    room: RemoteRoom,
) -> None:
    built = await room.build(BOB, "m.room.name", {"name": "Mine"}, state_key="")

    response = await room.send(built)

    assert response.json["pdus"][built.event.event_id]["error"]


async def test_a_room_that_is_not_known_is_answered_for_as_far_as_it_can_be(
    server: Server, remote: Remote
) -> None:
    pdus = [
        {"room_id": "!x:far.test", "event_id": "$a:far.test"},
        {"room_id": "!x:far.test"},
    ]

    response = await send(server, remote, pdus)

    assert response.json == {
        "pdus": {"$a:far.test": {"error": "this server does not know the room"}}
    }


async def test_a_server_that_the_acl_denies_is_ignored(
    room: RemoteRoom, alice: Client
) -> None:
    built = await message(room, "one")
    acl = {"allow": ["*"], "deny": ["FAR.test"]}
    await set_state(alice, room.room_id, "m.room.server_acl", acl)

    response = await room.send(built)

    error = response.json["pdus"][built.event.event_id]["error"]
    assert error == "the room does not admit your server"
    assert await texts(alice, room) == []


async def test_a_room_that_does_not_federate_takes_nothing_in(
    server: Server, remote: Remote, alice: Client
) -> None:
    room_id = await create_room(
        alice, preset="public_chat", creation_content={"m.federate": False}
    )
    room = RemoteRoom(server, remote, RoomId(room_id))
    built = await room.build(
        BOB, "m.room.member", {"membership": "join"}, state_key=BOB
    )

    response = await room.send(built)

    assert "error" in response.json["pdus"][built.event.event_id]


async def test_a_room_that_we_have_left_takes_nothing_in(
    room: RemoteRoom, alice: Client
) -> None:
    await alice.post(f"/v3/rooms/{room.room_id}/leave", {})
    built = await message(room, "one")

    response = await room.send(built)

    error = response.json["pdus"][built.event.event_id]["error"]
    assert error == "this server is not in the room"


async def test_an_event_of_a_room_of_another_version_is_refused(
    server: Server, remote: Remote, room: RemoteRoom
) -> None:
    old = await room_of(server, remote, room_version="1")
    foreign = {**await old.pdu(await message(old, "one")), "room_id": room.room_id}

    response = await send(server, remote, [foreign])

    assert all("error" in each for each in response.json["pdus"].values())


async def test_a_changed_event_is_redacted(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client
) -> None:
    pdu = await room.pdu(await message(room, "true"))
    pdu["content"] = {"body": "false"}

    response = await send(server, remote, [pdu])

    assert list(response.json["pdus"].values()) == [{}]
    assert await texts(alice, room) == [None]


async def test_what_came_is_counted(
    server: Server, remote: Remote, room: RemoteRoom
) -> None:
    await send(
        server, remote, [7], [{"edu_type": "org.x"}, {"edu_type": "m.x", "content": {}}]
    )

    text = (await server.anonymous.get("/metrics")).body.decode()
    assert 'tremula_federation_pdus_received_total{outcome="accepted"} 1.0' in text
    assert 'tremula_federation_pdus_received_total{outcome="malformed"} 1.0' in text
    assert 'tremula_federation_edus_received_total{outcome="unknown"} 1.0' in text
    assert 'tremula_federation_edus_received_total{outcome="malformed"} 1.0' in text
