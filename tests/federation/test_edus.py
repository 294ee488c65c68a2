"""EDUs of other servers: who types, reads and is online there, as /sync shows it."""

import asyncio
from typing import Any

import pytest

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.features.rooms import create_room, join, send, set_state
from tests.federation.network import PATIENCE_S, Federation
from tests.federation.remote import Remote, add_remote
from tests.federation.rooms import Inbox, RemoteRoom, send_edu
from tests.http_client import Client
from tests.server import Server
from tremula.features.receipts import early
from tremula.protocol.identifiers import RoomId

ALICE = "@alice:a.test"
DAVE = "@dave:a.test"
BOB = "@bob:far.test"
CAROL = "@carol:far.test"


@pytest.fixture
async def server(database_source: DatabaseSource, federation: Federation) -> Server:
    return await federation.start("a.test", database_source)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def remote(server: Server, federation: Federation, inbox: Inbox) -> Remote:
    remote = add_remote(federation, "far.test")
    remote.answers["/v1/send/"] = inbox.answer
    return remote


@pytest.fixture
def alice(server: Server) -> Client:
    return server.client(ALICE)


@pytest.fixture
async def room(server: Server, remote: Remote) -> RemoteRoom:
    room_id = await create_room(server.client(ALICE), preset="public_chat")
    room = RemoteRoom(server, remote, RoomId(room_id))
    await room.join(BOB)
    return room


async def ephemeral(client: Client, room: RemoteRoom, event_type: str) -> list[Any]:
    """The contents of one type of ephemeral events that a client is shown."""
    rooms = (await client.get("/v3/sync?set_presence=offline")).json["rooms"]
    events = rooms["join"][room.room_id].get("ephemeral", {}).get("events", [])
    return [each["content"] for each in events if each["type"] == event_type]


async def presences(client: Client) -> dict[str, Any]:
    """The presence of everyone that a client is shown."""
    answer = (await client.get("/v3/sync?set_presence=offline")).json
    events = answer.get("presence", {}).get("events", [])
    return {each["sender"]: each["content"] for each in events}


def typing(room: RemoteRoom, user_id: str = BOB, **content: object) -> dict[str, Any]:
    return {"room_id": room.room_id, "user_id": user_id, "typing": True, **content}


def receipts(
    room: RemoteRoom, event_id: str, user_id: str = BOB, **data: object
) -> dict[str, Any]:
    read = {"event_ids": [event_id], "data": {"ts": 1000, **data}}
    return {room.room_id: {"m.read": {user_id: read}}}


def presence(user_id: str = BOB, **update: object) -> dict[str, Any]:
    update = {"presence": "online", "last_active_ago": 5000, **update}
    return {"push": [{"user_id": user_id, **update}]}


async def deny(alice: Client, room: RemoteRoom) -> None:
    acl = {"allow": ["*"], "deny": ["far.test"]}
    await set_state(alice, room.room_id, "m.room.server_acl", acl)


# Coming in


async def test_typing_is_shown(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client
) -> None:
    await send_edu(server, remote, "m.typing", typing(room))
    assert await ephemeral(alice, room, "m.typing") == [{"user_ids": [BOB]}]

    await send_edu(server, remote, "m.typing", typing(room, typing=False))
    assert await ephemeral(alice, room, "m.typing") == []


@pytest.mark.parametrize(
    "content",
    [
        {"user_id": ALICE},
        {"user_id": "@x:else.test"},
        {"user_id": CAROL},
        {"user_id": 7},
        {"typing": "yes"},
        {"room_id": "!x:far.test"},
        {"room_id": None},
    ],
)
async def test_forged_typing_is_dropped(
    server: Server,
    remote: Remote,
    room: RemoteRoom,
    alice: Client,
    content: dict[str, object],
) -> None:
    """Of a user of another server, or who is not in the room."""
    await send_edu(server, remote, "m.typing", {**typing(room), **content})

    assert await ephemeral(alice, room, "m.typing") == []


async def test_typing_of_a_denied_server_is_dropped(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client
) -> None:
    await deny(alice, room)
    await send_edu(server, remote, "m.typing", typing(room))

    assert await ephemeral(alice, room, "m.typing") == []


async def test_receipts_are_shown(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client
) -> None:
    event_id = await send(alice, room.room_id)

    await send_edu(server, remote, "m.receipt", receipts(room, event_id))

    assert await ephemeral(alice, room, "m.receipt") == [
        {event_id: {"m.read": {BOB: {"ts": 1000}}}}
    ]


async def test_threaded_receipts_are_shown(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client
) -> None:
    event_id = await send(alice, room.room_id)

    content = receipts(room, event_id, thread_id="main")
    await send_edu(server, remote, "m.receipt", content)

    assert await ephemeral(alice, room, "m.receipt") == [
        {event_id: {"m.read": {BOB: {"ts": 1000, "thread_id": "main"}}}}
    ]


@pytest.mark.parametrize("user_id", [ALICE, DAVE, CAROL, "@x:else.test", "far.test"])
async def test_cve_2023_42453_receipts_forged_for_others_are_dropped(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client, user_id: str
) -> None:
    await join(server.client(DAVE), room.room_id)
    event_id = await send(alice, room.room_id)

    await send_edu(server, remote, "m.receipt", receipts(room, event_id, user_id))

    assert await ephemeral(alice, room, "m.receipt") == []


async def shown_after(alice: Client, room: RemoteRoom, since: str, wanted: str) -> None:
    """Wait until a receipt on an event is shown."""
    shown: set[str] = set()
    while wanted not in shown:
        answer = (await alice.get(f"/v3/sync?since={since}&timeout=10000")).json
        since, joined = answer["next_batch"], answer["rooms"]["join"][room.room_id]
        for each in joined.get("ephemeral", {}).get("events", []):
            shown.update(each["content"])


async def test_a_receipt_is_shown_once_its_event_has_come(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client
) -> None:
    """Another server sends the event: that may take longer."""
    event = await room.build(BOB, "m.room.message", {"body": "late"})
    newest = await send(alice, room.room_id)
    since = (await alice.get("/v3/sync?set_presence=offline")).json["next_batch"]
    late = event.event.event_id

    await send_edu(server, remote, "m.receipt", receipts(room, late))
    in_thread = receipts(room, newest, thread_id="main")
    await send_edu(server, remote, "m.receipt", in_thread)
    assert [[*each] for each in await ephemeral(alice, room, "m.receipt")] == [[newest]]
    await room.send(event)

    await shown_after(alice, room, since, late)
    expected = {late: {"m.read": {BOB: {"ts": 1000}}}}
    async with asyncio.timeout(PATIENCE_S):
        while expected not in await ephemeral(alice, room, "m.receipt"):
            continue


async def test_no_more_receipts_of_a_server_wait_than_may(
    server: Server,
    remote: Remote,
    room: RemoteRoom,
    alice: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(early, "KEPT_PER_SERVER_MAX", 1)
    since = (await alice.get("/v3/sync?set_presence=offline")).json["next_batch"]
    first = await room.build(BOB, "m.room.message", {"body": "first"})
    last = await room.build(BOB, "m.room.message", {"body": "last"}, after=first)
    kept, dropped = last.event.event_id, first.event.event_id

    for event_id in ("$other", kept):
        # The user's newest takes the place of the other.
        await send_edu(server, remote, "m.receipt", receipts(room, event_id))
    in_thread = receipts(room, dropped, thread_id="main")
    await send_edu(server, remote, "m.receipt", in_thread)
    await room.send(first, last)

    await shown_after(alice, room, since, kept)
    [content] = await ephemeral(alice, room, "m.receipt")
    assert [*content] == [kept]


async def test_a_receipt_waits_for_an_hour(
    database_source: DatabaseSource, federation: Federation
) -> None:
    clock = FakeClock()
    server = await federation.start("a.test", database_source, clock=clock)
    remote, alice = add_remote(federation, "far.test"), server.client(ALICE)
    room_id = await create_room(alice, preset="public_chat")
    room = RemoteRoom(server, remote, RoomId(room_id))
    for user_id in (BOB, CAROL):
        await room.join(user_id)
    since = (await alice.get("/v3/sync?set_presence=offline")).json["next_batch"]
    event = await room.build(BOB, "m.room.message", {"body": "late"})
    late = event.event.event_id

    await send_edu(server, remote, "m.receipt", receipts(room, late))
    clock.advance_ms(3_600_001)
    await send_edu(server, remote, "m.receipt", receipts(room, late, CAROL))
    await room.send(event)

    await shown_after(alice, room, since, late)
    [content] = await ephemeral(alice, room, "m.receipt")
    assert [*content[late]["m.read"]] == [CAROL]


async def test_a_forged_receipt_costs_no_other(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client
) -> None:
    event_id = await send(alice, room.room_id)
    content = receipts(room, event_id)
    users = content[room.room_id]["m.read"]
    users |= {ALICE: users[BOB], CAROL: users[BOB], "": 7, "@y:far.test": []}
    content |= {"!x:y": users, "!z:y": 5, "!zz:y": {"m.read": 5}}

    await send_edu(server, remote, "m.receipt", content)

    assert await ephemeral(alice, room, "m.receipt") == [
        {event_id: {"m.read": {BOB: {"ts": 1000}}}}
    ]


@pytest.mark.parametrize(
    "read",
    [
        {"event_ids": [], "data": {}},
        {"event_ids": [7], "data": {}},
        {"event_ids": ["$unknown"], "data": {}},
        {"event_ids": "$x", "data": {}},
        {"data": {}},
        {"event_ids": ["$x"], "data": 7},
        {"event_ids": ["$x"], "data": {"thread_id": 7}},
        None,
    ],
)
async def test_malformed_receipts_are_dropped(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client, read: object
) -> None:
    content = {room.room_id: {"m.read": {BOB: read}}}

    await send_edu(server, remote, "m.receipt", content)

    assert await ephemeral(alice, room, "m.receipt") == []


async def test_a_receipt_from_the_future_is_of_now(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client
) -> None:
    event_id = await send(alice, room.room_id)

    await send_edu(server, remote, "m.receipt", receipts(room, event_id, ts=2**62))

    [content] = await ephemeral(alice, room, "m.receipt")
    assert content[event_id]["m.read"][BOB]["ts"] < 2**50


async def test_receipts_of_a_denied_server_are_dropped(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client
) -> None:
    event_id = await send(alice, room.room_id)
    await deny(alice, room)

    await send_edu(server, remote, "m.receipt", receipts(room, event_id))

    assert await ephemeral(alice, room, "m.receipt") == []


async def test_presence_is_shown_to_who_shares_a_room(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client
) -> None:
    content = presence(status_msg="Trees", currently_active=True)

    await send_edu(server, remote, "m.presence", content)

    shown = (await presences(alice))[BOB]
    assert shown["presence"] == "online"
    assert (shown["status_msg"], shown["currently_active"]) == ("Trees", True)
    assert shown["last_active_ago"] >= 5000
    status = await alice.get(f"/v3/presence/{BOB}/status")
    assert status.json["status_msg"] == "Trees"


async def test_presence_is_not_shown_to_who_shares_no_room(
    server: Server, remote: Remote, room: RemoteRoom
) -> None:
    dave = server.client(DAVE)
    await create_room(dave)

    await send_edu(server, remote, "m.presence", presence())

    assert BOB not in await presences(dave)
    assert (await dave.get(f"/v3/presence/{BOB}/status")).status == 403


@pytest.mark.parametrize(
    ("user_id", "outcome"), [(BOB, "taken"), (CAROL, "taken"), (ALICE, "dropped")]
)
async def test_presence_that_interests_nobody_is_no_fault_of_its_server(
    server: Server, remote: Remote, room: RemoteRoom, user_id: str, outcome: str
) -> None:
    """A server that has just started knows few rooms, and not who is in the others."""
    await send_edu(server, remote, "m.presence", presence(user_id))

    metrics = (await server.anonymous.get("/metrics")).body.decode()
    name = "tremula_federation_edus_received_total"
    assert f'{name}{{outcome="{outcome}"}} 1.0' in metrics


@pytest.mark.parametrize(
    "content",
    [
        presence(ALICE, status_msg="forged"),
        presence(CAROL),
        presence("@x:else.test"),
        presence(presence="away"),
        presence(last_active_ago=-1),
        presence(last_active_ago=2**60),
        {"push": [7, None]},
        {"push": {}},
        {},
    ],
)
async def test_forged_presence_is_dropped(
    server: Server,
    remote: Remote,
    room: RemoteRoom,
    alice: Client,
    content: dict[str, Any],
) -> None:
    await send_edu(server, remote, "m.presence", content)

    shown = await presences(alice)
    assert not shown.keys() & {BOB, CAROL, "@x:else.test"}
    assert "status_msg" not in shown.get(ALICE, {})


async def test_a_waiting_client_is_woken(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client
) -> None:
    query = "set_presence=offline&timeout=30000"
    first = (await alice.get("/v3/sync?set_presence=offline")).json["next_batch"]

    await send_edu(server, remote, "m.presence", presence())
    answer = (await alice.get(f"/v3/sync?{query}&since={first}")).json

    [event] = answer["presence"]["events"]
    assert event["sender"] == BOB


# Going out


async def test_typing_is_told_to_the_servers_in_the_room(
    remote: Remote, room: RemoteRoom, alice: Client, inbox: Inbox
) -> None:
    path = f"/v3/rooms/{room.room_id}/typing/{ALICE}"
    await alice.put(path, {"typing": True, "timeout": 30_000})
    await inbox.until(lambda box: bool(box.edus("m.typing")))
    # A client that repeats itself is not repeated.
    await alice.put(path, {"typing": True, "timeout": 30_000})
    await alice.put(path, {"typing": False})
    await inbox.until(lambda box: len(box.edus("m.typing")) > 1)

    expected = {"room_id": room.room_id, "user_id": ALICE}
    assert inbox.edus("m.typing") == [
        {**expected, "typing": True},
        {**expected, "typing": False},
    ]


async def test_public_receipts_are_told(
    remote: Remote, room: RemoteRoom, alice: Client, inbox: Inbox
) -> None:
    event_id = await send(alice, room.room_id)
    last = await send(alice, room.room_id)
    path = f"/v3/rooms/{room.room_id}/receipt"
    await alice.post(f"{path}/m.read.private/{event_id}", {})
    await alice.post(f"{path}/m.read/{last}", {"thread_id": "main"})
    await inbox.until(lambda box: bool(box.edus("m.receipt")))

    [content] = inbox.edus("m.receipt")
    read = content[room.room_id]["m.read"][ALICE]
    assert read["event_ids"] == [last]
    assert read["data"]["thread_id"] == "main"
    assert content.keys() == {room.room_id}


async def test_presence_is_told(
    remote: Remote, room: RemoteRoom, alice: Client, inbox: Inbox
) -> None:
    body = {"presence": "online", "status_msg": "Trees"}
    await alice.put(f"/v3/presence/{ALICE}/status", body)

    def is_told(box: Inbox) -> bool:
        updates = [each["push"][0] for each in box.edus("m.presence")]
        return any(each.get("status_msg") == "Trees" for each in updates)

    await inbox.until(is_told)
    update = inbox.edus("m.presence")[-1]["push"][0]
    assert (update["user_id"], update["presence"]) == (ALICE, "online")
    assert isinstance(update["last_active_ago"], int)


async def test_what_others_say_is_not_passed_on(
    server: Server, remote: Remote, room: RemoteRoom, alice: Client, inbox: Inbox
) -> None:
    """Servers that echo: what is said once would never end."""
    event_id = await send(alice, room.room_id)
    await inbox.until(lambda box: bool(box.pdus))
    await send_edu(server, remote, "m.typing", typing(room))
    await send_edu(server, remote, "m.receipt", receipts(room, event_id))
    await send_edu(server, remote, "m.presence", presence())
    await room.accepted(BOB, "m.room.message", {"body": "mine"})
    await send(alice, room.room_id, "last")
    await inbox.until(lambda box: box.pdus[-1]["content"].get("body") == "last")

    types = {edu["edu_type"] for x in inbox.letters for edu in x.json["edus"]}
    senders = {pdu["sender"] for pdu in inbox.pdus}
    assert types <= {"m.presence"}
    assert all(each["push"][0]["user_id"] == ALICE for each in inbox.edus("m.presence"))
    assert senders == {ALICE}
