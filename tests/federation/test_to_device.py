"""Messages to devices between servers: once, in order, whatever fails (SS
"Send-to-device messaging").
"""

from typing import Any

import pytest

from tests.features.to_device.messages import PHONE, Inbox, logged_in, put, send
from tests.federation.memberships import ALICE, BOB
from tests.federation.network import Federation
from tests.federation.remote import Remote
from tests.federation.rooms import Inbox as Transactions
from tests.federation.rooms import send_edu
from tests.http_client import Client
from tests.server import Server

EDU_TYPE = "m.direct_to_device"
FAR = "@far:far.test"


@pytest.fixture
async def phone(two: Server, bob: Client) -> Client:
    """A device of Bob's on ``two.test``."""
    return await logged_in(two.client(BOB, device_id=PHONE))


@pytest.fixture
def inbox(phone: Client) -> Inbox:
    return Inbox(phone)


@pytest.fixture
def transactions(remote: Remote) -> Transactions:
    """What ``far.test`` is sent."""
    transactions = Transactions()
    remote.answers["/v1/send/"] = transactions.answer
    return transactions


def edu(number: int, **changed: object) -> dict[str, Any]:
    return {
        "sender": FAR,
        "type": "m.x",
        "message_id": f"m{number}",
        "messages": {BOB: {PHONE: {"n": number}}},
        **changed,
    }


async def test_messages_come_to_another_server_in_order(
    inbox: Inbox, one: Server, alice: Client
) -> None:
    await inbox.sync()
    for number in range(120):
        await send(alice, number, to=BOB)
    numbers: list[int] = []
    while len(numbers) < 120:
        numbers += [event["content"]["n"] for event in await inbox.some()]

    assert numbers == list(range(120))


async def test_the_wildcard_is_resolved_by_the_other_server(
    inbox: Inbox, bob: Client, one: Server, alice: Client
) -> None:
    await inbox.sync()
    others = Inbox(bob)
    await others.sync()
    await put(alice, "t", {BOB: {"*": {"n": 1}}})

    assert await inbox.some() == [{"type": "m.x", "sender": ALICE, "content": {"n": 1}}]
    assert [event["content"]["n"] for event in await others.some()] == [1]


async def test_an_outage_loses_nothing(
    inbox: Inbox, one: Server, alice: Client, federation: Federation
) -> None:
    await inbox.sync()
    federation.network.down = {"two.test"}
    for number in range(3):
        await send(alice, number, to=BOB)
    await federation.network.until_asked("two.test", "/v1/send/")
    federation.network.heal()
    numbers: list[int] = []
    while len(numbers) < 3:
        numbers += [event["content"]["n"] for event in await inbox.some()]

    assert numbers == [0, 1, 2]


async def test_an_edu_has_an_id_and_all_messages_of_its_server(
    two: Server, bob: Client, transactions: Transactions
) -> None:
    messages = {
        FAR: {"A": {"n": 1}, "B": {"n": 2}},
        "@other:far.test": {"*": {"n": 3}},
        BOB: {"*": {}},
    }
    await put(bob, "t", messages)
    await put(bob, "t", messages)
    await transactions.until(lambda got: bool(got.edus(EDU_TYPE)))

    [content] = transactions.edus(EDU_TYPE)
    assert 0 < len(content.pop("message_id")) <= 32
    del messages[BOB]
    assert content == {"sender": BOB, "type": "m.x", "messages": messages}


async def test_edus_are_of_bounded_size(
    two: Server, bob: Client, transactions: Transactions
) -> None:
    sent = {f"D{number:02}": {"x": "x" * 20_000} for number in range(10)}
    await put(bob, "t", {FAR: sent})
    await transactions.until(lambda got: len(got.edus(EDU_TYPE)) == 4)

    edus = transactions.edus(EDU_TYPE)
    assert len({content["message_id"] for content in edus}) == 4
    came: dict[str, Any] = {}
    for content in edus:
        came |= content["messages"][FAR]
    assert came == sent
    assert list(came) == list(sent)


async def test_what_is_for_all_devices_and_for_some_of_a_user_is_one_edu(
    two: Server, bob: Client, transactions: Transactions
) -> None:
    """Or those would be sent both: of another EDU, the other server knows nothing."""
    sent = {
        "@first:far.test": {"A": {"x": "x" * 40_000}},
        FAR: {"A": {"x": "x" * 20_000}, "*": {"x": "y" * 50_000}, "B": {"x": "z"}},
        "@last:far.test": {"A": {"x": "x" * 40_000}, "B": {"x": "x" * 40_000}},
    }
    await put(bob, "t", sent)
    await transactions.until(lambda got: len(got.edus(EDU_TYPE)) == 4)

    first, second, *others = (each["messages"] for each in transactions.edus(EDU_TYPE))
    assert first == {"@first:far.test": sent["@first:far.test"]}
    assert second == {FAR: sent[FAR]}
    assert [list(each) for each in others] == [["@last:far.test"]] * 2


async def test_the_same_message_is_taken_in_once(
    two: Server, remote: Remote, inbox: Inbox
) -> None:
    for number in (1, 1, 2, 1):
        await send_edu(two, remote, EDU_TYPE, edu(number))

    assert await inbox.numbers() == [1, 2]


async def test_ids_of_two_servers_are_two(
    two: Server, remote: Remote, third: Remote, inbox: Inbox
) -> None:
    await send_edu(two, remote, EDU_TYPE, edu(1))
    await send_edu(two, third, EDU_TYPE, edu(1, sender="@third:third.test"))

    assert await inbox.numbers() == [1, 1]


async def test_messages_for_others_than_our_users_are_left_out(
    two: Server, remote: Remote, inbox: Inbox
) -> None:
    messages = {
        ALICE: {"*": {"n": 0}},
        "@nobody:two.test": {"*": {"n": 0}},
        BOB: {"NONE": {"n": 0}, PHONE: {"n": 1}},
    }
    await send_edu(two, remote, EDU_TYPE, edu(1, messages=messages))

    assert await inbox.numbers() == [1]
    assert await two.db.all("SELECT device_id FROM to_device_messages") == [(PHONE,)]


@pytest.mark.parametrize(
    "changed",
    [
        {"sender": "@third:third.test"},
        {"sender": BOB},
        {"sender": "far"},
        {"sender": None},
        {"type": ""},
        {"type": "x" * 256},
        {"type": "\0"},
        {"type": 1},
        {"message_id": "m" * 33},
        {"message_id": "\0"},
        {"message_id": 1},
        {"messages": []},
        {"messages": {"bob": {PHONE: {}}}},
        {"messages": {BOB: {PHONE: 1}}},
        {"messages": {BOB: {PHONE: {"x": "x" * 65_536}}}},
        {"messages": {BOB: {f"D{number}": {} for number in range(501)}}},
        {"messages": {f"@u{number}:two.test": {"*": {}} for number in range(2_001)}},
    ],
)
async def test_a_malformed_edu_is_dropped_alone(
    two: Server, remote: Remote, inbox: Inbox, changed: dict[str, object]
) -> None:
    await send_edu(two, remote, EDU_TYPE, edu(1, **changed))
    await send_edu(two, remote, EDU_TYPE, edu(2))

    assert await inbox.numbers() == [2]
