"""SS "Policy Servers": what our users send to rooms that use one."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.fakes.clock import FakeClock
from tests.features.rooms import create_room, error_of, member, send, set_state
from tests.federation.network import Federation, Letter
from tests.federation.policy import (
    ASKED,
    OTHER_KEY,
    POLICY,
    Json,
    PolicyServer,
    content,
    is_signed,
    set_policy,
    signatures,
)
from tests.federation.remote import Refusal, Remote, add_remote
from tests.federation.rooms import Inbox
from tests.http_client import Client, HttpResponse
from tests.server import Server
from tremula.features.policy_servers import service

ALICE = "@alice:a.test"
MESSAGE = "m.room.message"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def server(federation: Federation, clock: FakeClock) -> Server:
    return await federation.start("a.test", clock=clock)


@pytest.fixture
def alice(server: Server) -> Client:
    return server.client(ALICE)


@pytest.fixture
def policy(federation: Federation, server: Server) -> PolicyServer:
    return PolicyServer(add_remote(federation, POLICY, 5))


@pytest.fixture
async def room_id(server: Server, alice: Client, policy: PolicyServer) -> str:
    """A room of Alice's that uses the policy server."""
    room_id = await create_room(alice, preset="public_chat")
    await policy.remote.join(server, room_id, "judge")
    await set_policy(alice, room_id, content())
    assert policy.asked == []
    return room_id


async def put(
    client: Client, room_id: str, body: str = "hello", txn: str = "t"
) -> HttpResponse:
    path = f"/v3/rooms/{quote(room_id)}/send/{MESSAGE}/{txn}"
    return await client.put(path, {"msgtype": "m.text", "body": body})


async def texts(client: Client, room_id: str) -> list[str]:
    path = f"/v3/rooms/{quote(room_id)}/messages?dir=f&limit=100"
    chunk = (await client.get(path)).json["chunk"]
    return [e["content"].get("body") for e in chunk if e["type"] == MESSAGE]


async def pdu(server: Server, remote: Remote, event_id: str) -> dict[str, Any]:
    """An event as another server gets it."""
    response = await remote.ask(server, f"/v1/event/{quote(event_id)}")
    found: dict[str, Any] = response.json["pdus"][0]
    return found


async def test_an_event_goes_out_with_the_signature_of_the_policy_server(
    server: Server, alice: Client, policy: PolicyServer, room_id: str
) -> None:
    inbox = Inbox()
    policy.remote.answers["/v1/send/"] = inbox.answer

    event_id = await send(alice, room_id)
    await set_state(alice, room_id, "m.room.topic", {"topic": "t"})

    assert policy.asked_types == [MESSAGE, "m.room.topic"]
    await inbox.until(lambda box: any(e["type"] == MESSAGE for e in box.pdus))
    [sent] = [each for each in inbox.pdus if each["type"] == MESSAGE]
    assert sent["signatures"].keys() == {"a.test", POLICY}
    assert is_signed(sent)
    assert await pdu(server, policy.remote, event_id) == sent


@pytest.mark.parametrize(
    ("policy_content", "may_join"),
    [
        ({}, True),
        ({**content(), "via": 7}, True),
        ({**content(), "public_keys": {}}, True),
        (content(), False),
    ],
)
async def test_a_room_that_does_not_use_one_asks_nobody(
    server: Server,
    alice: Client,
    policy: PolicyServer,
    policy_content: object,
    may_join: bool,
) -> None:
    """Its server has to be in the room, lest it be forced to serve it."""
    room_id = await create_room(alice, preset="public_chat")
    if may_join:
        await policy.remote.join(server, room_id)
    await set_policy(alice, room_id, policy_content)

    await send(alice, room_id)

    assert policy.asked == []


async def test_what_it_refuses_is_not_sent(
    server: Server, alice: Client, policy: PolicyServer, room_id: str
) -> None:
    policy.decides = lambda _: Refusal(400, "M_FORBIDDEN")

    response = await put(alice, room_id)

    assert (response.status, response.json) == (
        400,
        {"errcode": "M_FORBIDDEN", "error": "no"},
    )
    assert await texts(alice, room_id) == []
    # The same transaction may be tried again.
    policy.decides = signatures
    assert (await put(alice, room_id)).status == 200
    assert await texts(alice, room_id) == ["hello"]


HOSTILE_ANSWERS: dict[str, tuple[int, Callable[[Json], object]]] = {
    "garbage": (502, lambda _: b"\xff<"),
    "nothing": (403, lambda _: {}),
    "a signature of another key": (403, lambda pdu: signatures(pdu, OTHER_KEY)),
    "a signature of an event that it changed": (
        403,
        lambda pdu: signatures({**pdu, "hashes": {"sha256": "x"}}),
    ),
    "an event": (403, lambda pdu: {**pdu, "signatures": signatures(pdu)}),
    "much": (502, lambda pdu: {**signatures(pdu), "x": "x" * 100_000}),
}


async def test_without_a_signature_of_this_event_it_is_not_sent(
    alice: Client, policy: PolicyServer, room_id: str, clock: FakeClock
) -> None:
    for name, (status, answer) in HOSTILE_ANSWERS.items():
        policy.decides = answer

        assert (await put(alice, room_id, name)).status == status, name

        # If it seemed to be out of reach, it is asked again.
        clock.advance_ms(5_000)
    assert len(policy.asked) == len(HOSTILE_ANSWERS)
    assert await texts(alice, room_id) == []


async def test_one_that_answers_late_is_not_waited_for(
    alice: Client,
    policy: PolicyServer,
    room_id: str,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor asked again at once; meanwhile the room can do without it."""
    policy.closed = asyncio.Event()
    monkeypatch.setattr(service, "_TIMEOUT_S", 0.01)

    answers = [await put(alice, room_id, txn=f"t{number}") for number in range(3)]

    assert [error_of(each) for each in answers] == [(502, "M_UNKNOWN")] * 3
    assert len(policy.asked) == 1
    monkeypatch.undo()
    policy.closed.set()
    clock.advance_ms(5_000)
    assert (await put(alice, room_id, "back")).status == 200
    await set_policy(alice, room_id, {})
    await put(alice, room_id, "free", txn="u")
    assert len(policy.asked) == 2
    assert await texts(alice, room_id) == ["back", "free"]


async def test_a_request_that_is_repeated_meanwhile_sends_one_event(
    federation: Federation, alice: Client, policy: PolicyServer, room_id: str
) -> None:
    policy.closed = asyncio.Event()
    first = asyncio.ensure_future(put(alice, room_id))
    await federation.network.until_asked(POLICY, ASKED)
    again = asyncio.ensure_future(put(alice, room_id))
    policy.closed.set()

    answers = [await first, await again, await put(alice, room_id)]

    assert len({each.body for each in answers}) == 1
    assert await texts(alice, room_id) == ["hello"]
    assert len(policy.asked) == 1


async def test_events_that_are_sent_at_once_follow_each_other(
    alice: Client, policy: PolicyServer, room_id: str
) -> None:
    """None forks the room for having waited."""
    answers = await asyncio.gather(
        *(put(alice, room_id, txn=f"t{number}") for number in range(4))
    )

    ids = {each.json["event_id"] for each in answers}
    named = [each["prev_events"] for each in policy.asked]
    assert [len(each) for each in named] == [1] * 4
    assert len({each[0] for each in named} & ids) == 3


async def test_what_comes_meanwhile_is_not_held_up(
    federation: Federation,
    server: Server,
    alice: Client,
    policy: PolicyServer,
    room_id: str,
) -> None:
    policy.closed = asyncio.Event()
    sending = asyncio.ensure_future(put(alice, room_id, "mine"))
    await federation.network.until_asked(POLICY, ASKED)

    # Exempt, so that it comes in without waiting.
    await set_policy(alice, room_id, {})
    await put(alice, room_id, "faster", txn="u")
    policy.closed.set()

    assert (await sending).status == 200
    assert await texts(alice, room_id) == ["faster", "mine"]
    assert (await put(alice, room_id, "next", txn="v")).status == 200


async def test_an_invitation_is_signed_before_anybody_sees_it(
    server: Server, alice: Client, policy: PolicyServer, room_id: str
) -> None:
    """Be it one for a user of the policy server's own."""
    invited: list[dict[str, Any]] = []

    def accept(letter: Letter) -> object:
        invited.append(letter.json["event"])
        return policy.remote.accept_invite(letter)

    policy.remote.answers["/v2/invite/"] = accept
    response = await member(alice, room_id, "invite", f"@carol:{POLICY}")

    assert response.status == 200
    assert is_signed(invited[0])
    assert len(policy.asked) == 1
    policy.decides = lambda _: Refusal(400, "M_FORBIDDEN")
    refused = await member(alice, room_id, "invite", f"@dave:{POLICY}")
    assert error_of(refused) == (400, "M_FORBIDDEN")
    assert len(invited) == 1
