"""SS "Validating Policy Server signatures": what others send to rooms that use one."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, error_of
from tests.federation.network import Federation
from tests.federation.policy import (
    ASKED,
    OTHER_KEY,
    POLICY,
    PolicyServer,
    content,
    is_signed,
    set_policy,
    signatures,
    signed,
)
from tests.federation.remote import FAR, Refusal, Remote, add_remote
from tests.federation.rooms import RemoteRoom, send
from tests.http_client import Client
from tests.server import Server
from tremula.protocol.hashes import event_id_of
from tremula.protocol.identifiers import RoomId
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.protocol.signing import sign_event

ALICE = "@alice:a.test"
BOB = f"@bob:{FAR}"
MESSAGE = "m.room.message"
V12 = ROOM_VERSIONS["12"]

Json = dict[str, Any]


@pytest.fixture
async def server(federation: Federation) -> Server:
    return await federation.start("a.test")


@pytest.fixture
def alice(server: Server) -> Client:
    return server.client(ALICE)


@pytest.fixture
def far(federation: Federation, server: Server) -> Remote:
    return add_remote(federation, FAR)


@pytest.fixture
def policy(federation: Federation, server: Server) -> PolicyServer:
    return PolicyServer(add_remote(federation, POLICY, 5))


@pytest.fixture
async def room(
    server: Server, alice: Client, far: Remote, policy: PolicyServer
) -> RemoteRoom:
    """A room that uses the policy server, which Bob has joined."""
    room_id = await create_room(alice, preset="public_chat", room_version="12")
    room = RemoteRoom(server, far, RoomId(room_id))
    await room.join(BOB)
    await policy.remote.join(server, room_id, "judge")
    await set_policy(alice, room_id, content())
    return room


async def message(room: RemoteRoom, body: str = "hello") -> Json:
    return await room.pdu(await room.build(BOB, MESSAGE, {"body": body}))


async def receive(room: RemoteRoom, pdu: Json) -> Json:
    """What the server of the room answers to *pdu*."""
    response = await send(room.server, room.remote, [pdu])
    [result] = response.json["pdus"].values()
    found: Json = result
    return found


async def texts(alice: Client, room: RemoteRoom) -> list[str]:
    path = f"/v3/rooms/{quote(room.room_id)}/messages?dir=f&limit=100"
    chunk = (await alice.get(path)).json["chunk"]
    return [e["content"].get("body") for e in chunk if e["type"] == MESSAGE]


async def stored(room: RemoteRoom, pdu: Json) -> Json:
    """The event as the server hands it on."""
    event_id = event_id_of(V12, pdu)
    response = await room.remote.ask(room.server, f"/v1/event/{quote(event_id)}")
    found: Json = response.json["pdus"][0]
    return found


async def test_nobody_is_asked_of_a_signed_event(
    alice: Client, policy: PolicyServer, room: RemoteRoom
) -> None:
    assert await receive(room, signed(await message(room))) == {}

    assert policy.asked == []
    assert await texts(alice, room) == ["hello"]


@pytest.mark.parametrize("has_old_signature", [False, True])
async def test_a_missing_signature_is_asked_for_and_kept(
    alice: Client, policy: PolicyServer, room: RemoteRoom, has_old_signature: bool
) -> None:
    """ "[T]he Policy Server's key may have rotated" since it signed."""
    pdu = await message(room)
    if has_old_signature:
        pdu = signed(pdu, OTHER_KEY)

    assert await receive(room, pdu) == {}

    assert policy.asked == [pdu]
    assert await texts(alice, room) == ["hello"]
    assert is_signed(await stored(room, pdu))
    assert (await stored(room, pdu))["signatures"].keys() == {FAR, POLICY}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Refusal(400, "M_FORBIDDEN"), "no"),
        ({}, "the room's policy server does not sign as it must"),
    ],
)
async def test_what_it_does_not_sign_is_soft_failed(
    alice: Client, policy: PolicyServer, room: RemoteRoom, answer: object, reason: str
) -> None:
    """And so named by no event of ours, but known: nobody is asked again."""
    policy.decides = lambda _: answer
    pdu = await message(room, "spam")

    assert (await receive(room, pdu))["error"].startswith(reason)
    again = await receive(room, signed(pdu))

    assert again["error"] == "the event was soft-failed before"
    assert await texts(alice, room) == []
    assert len(policy.asked) == 1
    policy.decides = signatures
    topic = f"/v3/rooms/{quote(room.room_id)}/state/m.room.topic/"
    await alice.put(topic, {"topic": "t"})
    spam_id = event_id_of(V12, pdu)
    assert spam_id not in policy.asked[-1]["prev_events"]


async def test_soft_failed_state_is_not_current(
    alice: Client, policy: PolicyServer, room: RemoteRoom
) -> None:
    policy.decides = lambda _: Refusal(400, "M_FORBIDDEN")
    leave = await room.build(
        BOB, "m.room.member", {"membership": "leave"}, state_key=BOB
    )

    assert (await receive(room, await room.pdu(leave)))["error"] == "no"

    members = await alice.get(f"/v3/rooms/{quote(room.room_id)}/joined_members")
    assert BOB in members.json["joined"]


async def test_nobody_is_asked_of_what_the_rules_refuse(
    policy: PolicyServer, room: RemoteRoom
) -> None:
    """Lest a server have others ask in its stead."""
    topic = await room.build(BOB, "m.room.topic", {"topic": "mine"}, state_key="")

    assert "error" in await receive(room, await room.pdu(topic))

    assert policy.asked == []


async def test_while_it_is_down_what_is_signed_comes_in(
    federation: Federation, alice: Client, policy: PolicyServer, room: RemoteRoom
) -> None:
    federation.network.down.add(POLICY)
    unsigned = [await room.build(BOB, MESSAGE, {"body": f"{n}"}) for n in range(3)]
    pdus = [await room.pdu(each) for each in unsigned]

    response = await send(room.server, room.remote, [*pdus[:2], signed(pdus[2])])

    results = list(response.json["pdus"].values())
    down = {"error": "the room's policy server does not answer"}
    assert sorted(results, key=len) == [{}, down, down]
    assert await texts(alice, room) == ["2"]
    # Not once for each of them.
    assert len(federation.network.asked(POLICY, ASKED)) == 1


async def test_its_own_users_events_have_both_signatures(
    federation: Federation, alice: Client, policy: PolicyServer, room: RemoteRoom
) -> None:
    """The one for the room says nothing of who has sent them, nor is its key one that
    the server publishes.
    """
    judges = RemoteRoom(room.server, policy.remote, room.room_id)
    said = await judges.build(f"@judge:{POLICY}", MESSAGE, {"body": "order"})
    pdu = await judges.pdu(said)
    asked = len(federation.network.asked(POLICY, "/key/"))
    only_policy = {
        **pdu,
        "signatures": {POLICY: signed(pdu)["signatures"][POLICY]},
    }
    del only_policy["signatures"][POLICY][policy.remote.key.key_id]

    assert "error" in await receive(judges, only_policy)
    assert await receive(judges, signed(pdu)) == {}

    assert await texts(alice, room) == ["order"]
    assert len(federation.network.asked(POLICY, "/key/")) == asked


async def test_a_join_is_signed_by_the_server_that_lets_it_in(
    federation: Federation, policy: PolicyServer, room: RemoteRoom
) -> None:
    """Whose user joins need not know of the policy server before."""
    third = add_remote(federation, "third.test", 3)

    joined = await third.join(room.server, room.room_id)
    assert is_signed(await stored(room, joined))

    policy.decides = lambda _: Refusal(400, "M_FORBIDDEN")
    user = quote(f"@more:{third.name}")
    path = f"/v1/make_join/{quote(room.room_id)}/{user}"
    made = await third.ask(room.server, path, {"ver": ["12"]})
    pdu = sign_event(V12, made.json["event"], third.name, third.key)
    event_id = event_id_of(V12, pdu)
    path = f"/v2/send_join/{quote(room.room_id)}/{quote(event_id)}"
    refused = await third.ask(room.server, path, method="PUT", content=pdu)
    assert error_of(refused) == (403, "M_FORBIDDEN")
