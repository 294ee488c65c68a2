"""Messages come to the devices they are for: once, in order, none is lost."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.conftest import DatabaseSource
from tests.features.to_device.messages import (
    ALICE,
    BOB,
    PHONE,
    TABLET,
    TYPE,
    Inbox,
    logged_in,
    put,
    send,
)
from tests.http_client import Client
from tests.query_counter import Queries, counted
from tests.server import Server, config_for, running_server
from tremula.features.to_device import sync as to_device_sync
from tremula.features.to_device.sync import DeviceInbox
from tremula.infra.db import DatabaseUnavailable
from tremula.infra.tokens import StreamToken
from tremula.protocol.identifiers import DeviceId, UserId


@pytest.fixture
async def alice(server: Server) -> Client:
    return await logged_in(server.client(ALICE))


@pytest.fixture
async def phone(server: Server) -> Client:
    return await logged_in(server.client(BOB, device_id=PHONE))


@pytest.fixture
async def tablet(server: Server, phone: Client) -> Client:
    return await logged_in(server.client(BOB, device_id=TABLET))


@pytest.fixture
def inbox(phone: Client) -> Inbox:
    return Inbox(phone)


async def stored(server: Server) -> int:
    [(count,)] = await server.db.all("SELECT COUNT(*) FROM to_device_messages")
    return int(count)


async def emptied(server: Server, inbox: Inbox) -> None:
    """Sync until there is no message any more."""
    async with asyncio.timeout(20):
        while await stored(server):
            assert await inbox.sync(timeout_ms=1) == []


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are deleted as soon as they are received."""
    monkeypatch.setattr(to_device_sync, "GATHERED_S", 0)


def tables_of(queries: Queries) -> list[str]:
    """What the statements of all units of messages are about."""
    texts = [each.sql for unit in queries.units for each in unit.statements]
    return [name for text in texts for name in re.findall("to_device_[a-z]+", text)[:1]]


async def test_a_message_comes_to_its_device_alone(
    alice: Client, inbox: Inbox, tablet: Client
) -> None:
    await send(alice, 1)

    assert await inbox.sync() == [{"type": TYPE, "sender": ALICE, "content": {"n": 1}}]
    assert await Inbox(tablet).sync() == []
    assert await Inbox(alice).sync() == []


@pytest.mark.one_process("counts what one process asks of its database")
async def test_a_delivery_is_one_unit_and_no_read(
    server: Server, alice: Client, inbox: Inbox
) -> None:
    await inbox.sync()
    await send(alice, 1)
    await inbox.some()
    with counted(server.db) as sending:
        await send(alice, 2)
    with counted(server.db) as fetching:
        assert await inbox.numbers() == [2]
    with counted(server.db) as returning:
        assert await inbox.numbers() == []

    assert tables_of(sending) == ["to_device_txns", "to_device_messages"]
    # What has been received is deleted later, with more of it.
    assert tables_of(fetching) == tables_of(returning) == []
    reads = [
        len([text for text in queries.reads if "to_device" in text])
        for queries in (sending, fetching, returning)
    ]
    assert reads == [0, 0, 0]


async def test_the_wildcard_stands_for_all_devices(
    alice: Client, inbox: Inbox, tablet: Client
) -> None:
    await send(alice, 1, device_id="*")

    assert await inbox.numbers() == [1]
    assert await Inbox(tablet).numbers() == [1]


async def test_a_device_that_is_named_beside_the_wildcard_gets_one(
    alice: Client, inbox: Inbox, tablet: Client
) -> None:
    await put(alice, "t", {BOB: {PHONE: {"n": 1}, "*": {"n": 2}}})

    assert await inbox.numbers() == [1]
    assert await Inbox(tablet).numbers() == [2]


async def test_messages_come_in_order_and_once(alice: Client, inbox: Inbox) -> None:
    await inbox.sync()
    seen = []
    for number in range(20):
        await send(alice, number)
        if number % 3 == 0:
            seen += await inbox.numbers()
    seen += await inbox.numbers()
    seen += await inbox.numbers()

    assert seen == list(range(20))


async def test_an_answer_that_was_lost_is_made_again(
    alice: Client, inbox: Inbox
) -> None:
    await inbox.sync()
    await send(alice, 1)
    since = inbox.since
    assert await inbox.numbers() == [1]
    inbox.since = since
    await send(alice, 2)

    assert await inbox.numbers() == [1, 2]
    assert await inbox.numbers() == []


@pytest.mark.usefixtures("at_once")
async def test_receipt_is_proven_by_the_next_token(
    server: Server, alice: Client, inbox: Inbox
) -> None:
    await send(alice, 1)
    assert await inbox.numbers(initial=True) == [1]
    assert await inbox.numbers(initial=True) == [1]
    assert await stored(server) == 1
    assert await inbox.numbers() == []

    await emptied(server, inbox)
    assert await inbox.numbers(initial=True) == []


@pytest.mark.one_process("what one has yet to delete, others do not know of")
async def test_what_was_received_is_not_shown_before_it_is_deleted(
    server: Server, alice: Client, inbox: Inbox
) -> None:
    await send(alice, 1)
    since = inbox.since
    assert await inbox.numbers() == [1]
    assert await inbox.numbers() == []
    await send(alice, 2)

    assert await stored(server) == 2
    inbox.since = since
    assert await inbox.numbers() == [2]


@pytest.mark.one_process("counts what one process asks of its database")
async def test_what_several_devices_have_received_is_deleted_by_one_unit(
    server: Server, alice: Client, phone: Client, tablet: Client
) -> None:
    journal = server.app.journal
    inbox = DeviceInbox(server.db, journal)
    await asyncio.gather(*(send(alice, number) for number in range(5)))
    await send(alice, 5, device_id=TABLET)
    token = StreamToken(journal.position)
    await send(alice, 6)
    for device_id in (PHONE, TABLET):
        await inbox.received(UserId(BOB), DeviceId(device_id), token)
    assert await stored(server) == 7

    with counted(server.db) as queries:
        await inbox.delete_received()
        await inbox.delete_received()

    [unit] = queries.units
    assert [len(each.rows) for each in unit.statements] == [2]
    assert await Inbox(phone).numbers() == [6]
    assert await Inbox(tablet).numbers() == []


async def test_what_could_not_be_deleted_is_deleted_later(
    server: Server, alice: Client, phone: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = server.app.journal
    inbox = DeviceInbox(server.db, journal)
    await send(alice, 1)
    token = StreamToken(journal.position)
    await inbox.received(UserId(BOB), DeviceId(PHONE), token)

    def refuse(*_: object) -> None:
        raise DatabaseUnavailable("it is away")

    with monkeypatch.context() as away:
        away.setattr(type(server.db), "submit", refuse)
        with pytest.raises(DatabaseUnavailable):
            await inbox.delete_received()
        # The server would end as well.
        await inbox.close()
    assert await stored(server) == 1
    await inbox.close()

    assert await stored(server) == 0


@pytest.mark.usefixtures("at_once")
async def test_an_answer_has_at_most_100_and_the_rest_follows_at_once(
    server: Server, alice: Client, inbox: Inbox
) -> None:
    await inbox.sync()
    for number in range(250):
        await send(alice, number)
    # Nothing wakes a client that is owed more: it must not wait.
    async with asyncio.timeout(20):
        pages = [await inbox.numbers(timeout_ms=60_000) for _ in range(3)]

    assert pages == [
        list(range(100)),
        list(range(100, 200)),
        list(range(200, 250)),
    ]
    assert await inbox.numbers() == []
    await emptied(server, inbox)


async def test_a_page_that_was_lost_is_made_again(alice: Client, inbox: Inbox) -> None:
    for number in range(250):
        await send(alice, number)
    await inbox.sync()
    since = inbox.since
    second = await inbox.numbers()
    await send(alice, 250)
    inbox.since = since

    assert await inbox.numbers() == second == list(range(100, 200))
    assert await inbox.numbers() == list(range(200, 251))


async def test_exactly_100_are_one_page(alice: Client, inbox: Inbox) -> None:
    for number in range(100):
        await send(alice, number)

    assert await inbox.numbers() == list(range(100))
    assert inbox.since is not None
    assert "_" not in inbox.since


async def test_a_message_wakes_a_waiting_client(alice: Client, inbox: Inbox) -> None:
    await inbox.sync()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        waiting = group.create_task(inbox.some())
        await send(alice, 1)

    assert [event["content"]["n"] for event in waiting.result()] == [1]


async def test_messages_sent_at_once_all_come(
    server: Server, alice: Client, inbox: Inbox
) -> None:
    await asyncio.gather(*(send(alice, number) for number in range(90)))

    assert sorted(await inbox.numbers()) == list(range(90))


async def test_a_repeated_request_delivers_nothing_twice(
    alice: Client, inbox: Inbox
) -> None:
    await asyncio.gather(*(send(alice, 1) for _ in range(10)))
    await send(alice, 1)

    assert await inbox.numbers() == [1]


async def test_a_transaction_id_is_of_one_device_and_type(
    server: Server, alice: Client, inbox: Inbox
) -> None:
    messages = {BOB: {PHONE: {"n": 1}}}
    await put(alice, "t", messages)
    await put(alice, "t", messages, "m.y")
    await put(server.client(ALICE), "t", messages)

    assert await inbox.numbers() == [1, 1, 1]


async def test_unknown_devices_and_users_are_left_out(
    server: Server, alice: Client, inbox: Inbox
) -> None:
    messages = {
        BOB: {"NONE": {}, PHONE: {"n": 1}},
        "@nobody:test": {"*": {}, PHONE: {}},
    }
    assert (await put(alice, "t", messages)).status == 200

    assert await inbox.numbers() == [1]
    assert await stored(server) == 1


async def test_the_inbox_of_a_device_goes_with_it(
    server: Server, alice: Client, phone: Client
) -> None:
    await send(alice, 1)
    assert (await phone.post("/v3/logout")).status == 200
    await send(alice, 2)
    assert await stored(server) == 0

    again = await logged_in(server.client(BOB, device_id=PHONE))
    assert await Inbox(again).sync() == []


async def test_a_new_device_of_an_old_name_is_not_shown_what_the_old_one_was_sent(
    server: Server, alice: Client, phone: Client
) -> None:
    old = Inbox(phone)
    await old.sync()
    await send(alice, 1)
    await old.numbers()
    await old.numbers()
    await send(alice, 2)
    assert (await phone.post("/v3/logout")).status == 200
    new = Inbox(await logged_in(server.client(BOB, device_id=PHONE)))
    # As a client that was logged out and has kept the rest.
    new.since = old.since
    await send(alice, 3)

    assert await new.numbers() == [3]


@pytest.mark.parametrize("device_ids", [[PHONE, TABLET], ["*"]])
async def test_each_device_that_waits_is_shown_its_message(
    alice: Client, phone: Client, tablet: Client, device_ids: list[str]
) -> None:
    inboxes = [Inbox(phone), Inbox(tablet)]
    for inbox in inboxes:
        await inbox.sync()
        await inbox.sync()

    contents = {each: {"for": each} for each in device_ids}
    assert (await put(alice, "both", {BOB: contents})).status == 200

    shown = [event["content"]["for"] for each in inboxes for event in await each.some()]
    assert shown == (device_ids if len(device_ids) == 2 else ["*", "*"])
    assert [await each.sync() for each in inboxes] == [[], []]


async def test_all_inboxes_of_a_user_go_with_the_devices(
    server: Server, alice: Client, phone: Client, tablet: Client
) -> None:
    await send(alice, 1, device_id="*")
    assert (await phone.post("/v3/logout/all")).status == 200
    await send(alice, 2, device_id="*")

    assert await stored(server) == 0


async def test_a_login_of_the_same_device_keeps_the_inbox(
    server: Server, alice: Client, phone: Client
) -> None:
    await send(alice, 1)
    again = await logged_in(server.client(BOB, device_id=PHONE))

    assert await Inbox(again).numbers() == [1]


async def test_messages_outlive_a_restart(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    config = config_for(database_source, tmp_path)
    async with running_server(config) as server:
        bob = await logged_in(server.client(BOB, device_id=PHONE))
        inbox = Inbox(bob)
        alice = await logged_in(server.client(ALICE, device_id="A"))
        await send(alice, 1)
        assert await inbox.numbers() == [1]
        await send(alice, 2)
        await send(alice, 3)
        users = server.users
    async with running_server(config) as server:
        server.users |= users
        inbox.client = server.client(BOB, device_id=PHONE)
        alice = server.client(ALICE, device_id="A")
        # Repeated by its device, which has got no answer.
        await send(alice, 3)

        assert await inbox.numbers() == [2, 3]
        assert await inbox.numbers() == []
    async with running_server(config) as server:
        # What was received by the end is deleted.
        assert await stored(server) == 0


async def test_an_inbox_keeps_the_newest_10000(
    server: Server, alice: Client, inbox: Inbox
) -> None:
    unit = server.app.journal.unit()
    first = unit.pos()
    unit.run_many(
        """
        INSERT INTO to_device_messages (user_id, device_id, pos, event)
        VALUES (:user_id, :device_id, :pos, :event)
        """,
        [
            {"user_id": BOB, "device_id": PHONE, "pos": pos, "event": "{}"}
            for pos in (first, *(unit.pos() for _ in range(10_100)))
        ],
    )
    await server.app.journal.commit(unit)
    # It is looked at with every 64th request.
    for number in range(64):
        await send(alice, number)

    assert 10_000 <= await stored(server) < 10_064
    [(newest,)] = await server.db.all(
        "SELECT event FROM to_device_messages ORDER BY pos DESC LIMIT 1"
    )
    assert '"n":63' in newest
