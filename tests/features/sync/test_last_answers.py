"""A device that comes back with its last token is told what any other would be."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from unittest.mock import patch

import pytest

from tests.dice import thrown
from tests.features.one_time_keys.keys import signed_key
from tests.features.rooms import create_room, join, member, send, set_state
from tests.features.sync.syncing import bodies, room_of, sync, token
from tests.query_counter import counted
from tests.server import Server, UserClient
from tremula.features.sync.rooms_section import RoomsSection

ALICE: Final = "@alice:test"
BOB: Final = "@bob:test"
CAROL: Final = "@carol:test"
PHONE: Final = "PHONE"
LAPTOP: Final = "LAPTOP"
STEPS: Final = 60
LAZY: Final = {"room": {"state": {"lazy_load_members": True}}}
BY_THREAD: Final = {"room": {"timeline": {"unread_thread_notifications": True}}}

_CONTEXT: Final = RoomsSection.context


Clients = Mapping[str, UserClient]


def _clients(server: Server) -> Clients:
    """One of each user, and a phone and a laptop of Bob's."""
    devices = {name: server.client(BOB, device_id=name) for name in (PHONE, LAPTOP)}
    return devices | {user: server.client(user) for user in (ALICE, BOB, CAROL)}


async def _room(clients: Clients, name: str) -> str:
    room_id = await create_room(
        clients[ALICE],
        name=name,
        preset="public_chat",
        power_level_content_override={"state_default": 0, "invite": 0},
    )
    for user_id in (BOB, CAROL):
        await join(clients[user_id], room_id)
    return room_id


async def _act(clients: Clients, deed: str, number: int, room_id: str) -> None:
    match deed:
        case "message":
            await send(clients[(ALICE, CAROL)[number % 2]], room_id, str(number))
        case "mention":
            await send(clients[ALICE], room_id, f"hello {BOB}")
        case "topic":
            topic = {"topic": str(number)}
            await set_state(clients[ALICE], room_id, "m.room.topic", topic)
        case "rename":
            renamed = {"membership": "join", "displayname": str(number)}
            await set_state(clients[ALICE], room_id, "m.room.member", renamed, ALICE)
        case "kick":
            await member(clients[ALICE], room_id, "kick", BOB)
        case "to_device":
            messages = {"messages": {BOB: {"*": {"number": number}}}}
            await clients[ALICE].put(f"/v3/sendToDevice/org.test/{number}", messages)
        case "to_phone":
            await _send_to(clients[ALICE], PHONE, number)
        case _:
            await _act_as_bob(clients, deed, number, room_id)


async def _send_to(alice: UserClient, device_id: str, number: int) -> None:
    messages = {"messages": {BOB: {device_id: {"number": number}}}}
    await alice.put(f"/v3/sendToDevice/org.test/{number}", messages)


def _messages(answer: dict[str, Any]) -> list[int]:
    events = answer.get("to_device", {}).get("events", [])
    return [event["content"]["number"] for event in events]


async def _act_as_bob(clients: Clients, deed: str, number: int, room_id: str) -> None:
    bob = clients[BOB]
    match deed:
        case "ignore" | "heed":
            ignored: dict[str, object] = {ALICE: {}} if deed == "ignore" else {}
            path = f"/v3/user/{BOB}/account_data/m.ignored_user_list"
            await bob.put(path, {"ignored_users": ignored})
        case "reply":
            path = f"/v3/rooms/{room_id}/send/m.room.message/{number}"
            await bob.put(path, {"msgtype": "m.text", "body": str(number)})
        case "join":
            await bob.post(f"/v3/rooms/{room_id}/join", {})
        case "read":
            page = await clients[ALICE].get(
                f"/v3/rooms/{room_id}/messages?dir=b&limit=1"
            )
            event_id = page.json["chunk"][0]["event_id"]
            await bob.post(f"/v3/rooms/{room_id}/receipt/m.read/{event_id}", {})
        case _:
            key = signed_key(number, user_id=BOB, device_id=PHONE)
            keys = {f"signed_curve25519:{number:04}": key}
            await clients[PHONE].post("/v3/keys/upload", {"one_time_keys": keys})


DEEDS: Final = (
    *("message",) * 16,
    *("mention", "reply", "join", "heed", "to_phone") * 2,
    *("topic", "rename", "ignore", "kick", "read", "keys", "to_device"),
)
MEMBER_DEEDS: Final = ("rename", "kick")


def _without_age(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        return {key: _without_age(each) for key, each in value.items() if key != "age"}
    return [_without_age(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "filter_",
    [
        {},
        BY_THREAD,
        pytest.param(
            LAZY,
            marks=pytest.mark.one_process("which members it has sent, a process knows"),
        ),
    ],
    ids=["", "threads", "lazy"],
)
async def test_an_answer_is_the_same_asked_for_again(
    server: Server, filter_: dict[str, Any]
) -> None:
    """Whatever happens: the second time the token is no longer the last one.

    But that a lazy device may be sent a member event again, which has changed since.
    """
    deeds = [each for each in DEEDS if filter_ is not LAZY or each not in MEMBER_DEEDS]
    dice = thrown("LAST_ANSWERS_SEED")
    clients = _clients(server)
    rooms = [await _room(clients, name) for name in ("first", "second")]
    devices = [clients[each] for each in (PHONE, LAPTOP, CAROL)]
    since = [await token(each, filter=filter_) for each in devices]

    for number in range(STEPS):
        deed, room_id = dice.choice(deeds), dice.choice(rooms)
        await _act(clients, deed, number, room_id)
        for at, device in enumerate(devices):
            if dice.random() < 0.6:
                answers = [await sync(device, since[at], filter=filter_) for _ in "12"]
                first, again = map(_without_age, answers)
                assert first == again, (number, deed)
                since[at] = first["next_batch"]


async def _all_known(
    alice: UserClient, clients: Sequence[UserClient]
) -> tuple[str, str]:
    """A room, and the token at which each of them is."""
    room_id = await create_room(alice, preset="public_chat")
    for each in clients:
        await join(each, room_id)
    for each in clients:
        await sync(each, await token(each, filter=LAZY), filter=LAZY)
    since = await token(clients[0], filter=LAZY)
    for _ in range(2):
        await send(alice, room_id, "before")
        answers = [await sync(each, since, filter=LAZY) for each in clients]
        since = answers[0]["next_batch"]
    return room_id, since


@pytest.mark.one_process("counts what one process does")
async def test_who_comes_back_with_the_last_token_is_looked_up_no_more(
    server: Server,
) -> None:
    alice = server.client(ALICE)
    clients = [server.client(f"@user{number}:test") for number in range(3)]
    room_id, since = await _all_known(alice, clients)
    await send(alice, room_id, "hello")

    with (
        patch.object(RoomsSection, "context", autospec=True) as looked_up,
        counted(server.db) as queries,
    ):
        looked_up.side_effect = _CONTEXT
        answers = [await sync(each, since, filter=LAZY) for each in clients]

    assert [bodies(room_of(each, room_id)) for each in answers] == [["hello"]] * 3
    assert looked_up.call_args_list == []
    assert queries.reads == []


@pytest.mark.one_process("counts what one process does")
async def test_who_comes_back_with_an_older_token_is_looked_up(server: Server) -> None:
    """As an answer may be lost; the test above could not fail otherwise."""
    alice, client = server.client(ALICE), server.client(BOB)
    room_id, since = await _all_known(alice, [client])
    await send(alice, room_id, "hello")
    await sync(client, since, filter=LAZY)

    with patch.object(RoomsSection, "context", autospec=True) as looked_up:
        looked_up.side_effect = _CONTEXT
        answer = await sync(client, since, filter=LAZY)

    assert bodies(room_of(answer, room_id)) == ["hello"]
    assert len(looked_up.call_args_list) == 1


@pytest.mark.one_process("counts what one process does")
async def test_a_device_that_is_sent_messages_is_looked_up_no_more(
    server: Server,
) -> None:
    """Nothing is read, and none of them comes twice, or is left out."""
    clients = _clients(server)
    alice, phone = clients[ALICE], clients[PHONE]
    room_id, since = await _all_known(alice, [phone])
    for number in range(2):
        await _send_to(alice, PHONE, number)
        since = (await sync(phone, since, filter=LAZY))["next_batch"]

    with (
        patch.object(RoomsSection, "context", autospec=True) as looked_up,
        counted(server.db) as queries,
    ):
        looked_up.side_effect = _CONTEXT
        shown: list[list[int]] = []
        for number in range(2, 5):
            await _send_to(alice, PHONE, number)
            answer = await sync(phone, since, filter=LAZY)
            shown.append(_messages(answer))
            since = answer["next_batch"]
        await send(alice, room_id, "hello")
        both = await sync(phone, since, filter=LAZY)

    assert shown == [[2], [3], [4]]
    assert (bodies(room_of(both, room_id)), _messages(both)) == (["hello"], [])
    assert looked_up.call_args_list == []
    assert queries.reads == []


@pytest.mark.one_process("receipts are gathered where they come before others see them")
async def test_receipt_is_proven_by_the_token_that_comes_back(server: Server) -> None:
    """What the last answer held is shown again to a token from before it, and to no
    other any more, nor to who comes without one.
    """
    clients = _clients(server)
    alice, phone = clients[ALICE], clients[PHONE]
    _, since = await _all_known(alice, [phone])
    tokens = [since]
    for number in range(3):
        await _send_to(alice, PHONE, number)
        tokens.append((await sync(phone, tokens[-1], filter=LAZY))["next_batch"])

    again = await sync(phone, tokens[-2], filter=LAZY)
    after = await sync(phone, tokens[-1], filter=LAZY)
    anew = await sync(phone, filter=LAZY)

    assert [_messages(each) for each in (again, after, anew)] == [[2], [], []]


@pytest.mark.one_process("how many keys there are is told in the same process")
async def test_changed_counts_of_keys_come_with_the_next_message(
    server: Server,
) -> None:
    """They are no news by themselves, and nobody is woken for them."""
    clients = _clients(server)
    alice, phone = clients[ALICE], clients[PHONE]
    room_id, since = await _all_known(alice, [phone])
    await _act(clients, "keys", 7, room_id)
    await send(alice, room_id, "hello")

    answer = await sync(phone, since, filter=LAZY)

    assert bodies(room_of(answer, room_id)) == ["hello"]
    assert answer["device_one_time_keys_count"] == {"signed_curve25519": 1}
