"""What other servers are told of our users' devices."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.device_keys import CrossSigningIdentity, CryptoDevice
from tests.features.rooms import create_room, join
from tests.federation.network import Federation
from tests.federation.remote import FAR, Remote, add_remote
from tests.federation.rooms import Inbox, RemoteRoom
from tests.http_client import Client
from tests.query_counter import counted
from tests.server import Server, config_for, running_server
from tremula.features.devices import storage as devices_storage
from tremula.features.devices.service import Device
from tremula.features.remote_devices import telling, untold_storage
from tremula.features.remote_devices.untold_storage import SIGNING_KEYS, Untold
from tremula.infra.db import DatabaseUnavailable, Reader, Statements, Unit
from tremula.protocol.identifiers import DeviceId, RoomId, ServerName, UserId

ALICE = "@alice:two.test"
BOB = "@bob:far.test"
LIST = "m.device_list_update"
SIGNING = "m.signing_key_update"


@pytest.fixture
def server(two: Server) -> Server:
    return two


@pytest.fixture
def inbox(remote: Remote) -> Inbox:
    inbox = Inbox()
    remote.answers["/v1/send/"] = inbox.answer
    return inbox


@pytest.fixture
async def phone(server: Server) -> Client:
    client = server.client(ALICE, device_id="PHONE")
    assert (await client.get("/v3/account/whoami")).status == 200
    return client


async def shared_room(server: Server, remote: Remote, owner: Client) -> RemoteRoom:
    room_id = await create_room(owner, preset="public_chat")
    room = RemoteRoom(server, remote, RoomId(room_id))
    await room.join(BOB)
    return room


async def publish(client: Client, device: CryptoDevice) -> dict[str, Any]:
    """Publish the keys of a device; the keys."""
    keys = device.keys()
    body = {"device_keys": keys}
    assert (await client.post("/v3/keys/upload", body)).status == 200
    return keys


async def updates(inbox: Inbox, count: int) -> list[dict[str, Any]]:
    """The first updates of device lists that come."""
    await inbox.until(lambda inbox: len(inbox.edus(LIST)) >= count)
    return inbox.edus(LIST)


async def listed(remote: Remote, server: Server) -> dict[str, Any]:
    """The list as it is fetched."""
    answer = await remote.ask(server, f"/v1/user/devices/{ALICE}")
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json
    return body


async def test_updates_are_a_line_that_fits_what_was_fetched(
    server: Server, remote: Remote, phone: Client, inbox: Inbox
) -> None:
    await shared_room(server, remote, phone)
    assert (await listed(remote, server))["stream_id"] == 0

    keys = await publish(phone, CryptoDevice(ALICE, "PHONE"))
    [first] = await updates(inbox, 1)
    assert first == {
        "user_id": ALICE,
        "device_id": "PHONE",
        "stream_id": first["stream_id"],
        "prev_id": [0],
        "keys": keys,
    }
    fetched = await listed(remote, server)
    assert fetched["stream_id"] == first["stream_id"]

    laptop = server.client(ALICE, device_id="LAPTOP")
    await publish(laptop, CryptoDevice(ALICE, "LAPTOP"))
    second = (await updates(inbox, 2))[1]
    assert second["device_id"] == "LAPTOP"
    assert second["prev_id"] == [first["stream_id"]]
    assert second["stream_id"] > first["stream_id"]


async def test_a_device_that_logs_out_is_told_as_deleted(
    server: Server, remote: Remote, phone: Client, inbox: Inbox
) -> None:
    await shared_room(server, remote, phone)
    laptop = server.client(ALICE, device_id="LAPTOP")
    await publish(laptop, CryptoDevice(ALICE, "LAPTOP"))
    await updates(inbox, 1)

    assert (await laptop.post("/v3/logout", {})).status == 200

    last = (await updates(inbox, 2))[-1]
    assert (last["device_id"], last["deleted"]) == ("LAPTOP", True)
    assert "keys" not in last


@pytest.mark.one_process(reason="it lets one process read the devices too early")
async def test_a_device_that_logs_in_while_all_are_logged_out_is_told_as_deleted(
    server: Server,
    remote: Remote,
    phone: Client,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await shared_room(server, remote, phone)
    await publish(phone, CryptoDevice(ALICE, "PHONE"))
    devices_of_user = devices_storage.devices_of_user
    before = await devices_of_user(server.db, UserId(ALICE))
    laptop = server.client(ALICE, device_id="LAPTOP")
    await publish(laptop, CryptoDevice(ALICE, "LAPTOP"))
    await updates(inbox, 2)

    async def too_early_once(_db: Reader, _user_id: UserId) -> list[Device]:
        monkeypatch.setattr(devices_storage, "devices_of_user", devices_of_user)
        return before

    monkeypatch.setattr(devices_storage, "devices_of_user", too_early_once)
    assert (await phone.post("/v3/logout/all", {})).status == 200

    gone = (await updates(inbox, 4))[2:]
    assert {each["device_id"] for each in gone} == {"LAPTOP", "PHONE"}
    assert all(each["deleted"] for each in gone)
    assert (await listed(remote, server))["devices"] == []
    assert not await devices_of_user(server.db, UserId(ALICE))


async def test_cross_signing_keys_are_told(
    server: Server, remote: Remote, phone: Client, inbox: Inbox
) -> None:
    await shared_room(server, remote, phone)
    identity = CrossSigningIdentity(ALICE)

    path = "/v3/keys/device_signing/upload"
    assert (await phone.post(path, identity.upload())).status == 200

    await inbox.until(lambda inbox: bool(inbox.edus(SIGNING)))
    told = inbox.edus(SIGNING)[-1]
    assert set(told) == {"user_id", "master_key", "self_signing_key"}
    assert told["master_key"]["keys"] == identity.public("master")["keys"]
    assert told["self_signing_key"] == identity.public("self_signing")


async def test_servers_that_share_no_room_are_told_nothing_and_see_the_gap_later(
    server: Server, remote: Remote, phone: Client, inbox: Inbox
) -> None:
    room = await shared_room(server, remote, phone)
    await publish(phone, CryptoDevice(ALICE, "PHONE"))
    [first] = await updates(inbox, 1)
    await room.accepted(BOB, "m.room.member", {"membership": "leave"}, state_key=BOB)

    laptop = server.client(ALICE, device_id="LAPTOP")
    await publish(laptop, CryptoDevice(ALICE, "LAPTOP"))
    await _until_told(server)
    await room.join(BOB)
    tablet = server.client(ALICE, device_id="TABLET")
    await publish(tablet, CryptoDevice(ALICE, "TABLET"))

    [_, second] = await updates(inbox, 2)
    assert second["device_id"] == "TABLET"
    assert second["prev_id"] != [first["stream_id"]]


async def test_whoever_joins_is_introduced_to_servers_that_are_new_to_them(
    server: Server, remote: Remote, phone: Client, inbox: Inbox
) -> None:
    """Once: not for a new name, nor for another room with the same servers."""
    keys = await publish(phone, CryptoDevice(ALICE, "PHONE"))
    await _until_told(server)
    owner = server.client("@owner:two.test")
    first = await shared_room(server, remote, owner)
    second = await shared_room(server, remote, owner)

    await join(phone, first.room_id)
    [told] = await updates(inbox, 1)
    assert (told["device_id"], told["keys"], told["prev_id"]) == ("PHONE", keys, [])
    assert told["stream_id"] == (await listed(remote, server))["stream_id"]

    await join(phone, second.room_id)
    await phone.put(f"/v3/profile/{ALICE}/displayname", {"displayname": "Alice"})
    laptop = server.client(ALICE, device_id="LAPTOP")
    await publish(laptop, CryptoDevice(ALICE, "LAPTOP"))
    devices = [each["device_id"] for each in await updates(inbox, 2)]
    assert devices[:2] == ["PHONE", "LAPTOP"]


async def test_when_many_devices_go_one_update_makes_others_fetch_the_list(
    server: Server, remote: Remote, phone: Client, inbox: Inbox
) -> None:
    await shared_room(server, remote, phone)
    names = [f"D{number}" for number in range(25)]
    for name in names:
        device = server.client(ALICE, device_id=name)
        await publish(device, CryptoDevice(ALICE, name))
    await _until_told(server)
    before = len(inbox.edus(LIST))
    fetched = await listed(remote, server)

    await phone.post("/v3/logout/all", {})

    last = (await updates(inbox, before + 1))[-1]
    assert len(inbox.edus(LIST)) == before + 1
    assert last["prev_id"] != [fetched["stream_id"]]
    assert (await listed(remote, server))["devices"] == []


async def test_what_a_crash_left_untold_is_told_at_the_next_start(
    federation: Federation, database_source: DatabaseSource, tmp_path: Path
) -> None:
    remote, inbox = add_remote(federation, FAR), Inbox()
    remote.answers["/v1/send/"] = inbox.answer
    name = ServerName("two.test")
    config = replace(config_for(database_source, tmp_path), server_name=name)
    line = federation.network.line(name)
    async with running_server(config, transport=line) as server:
        federation.network.add(server)
        await shared_room(server, remote, server.client(ALICE))
        unit = server.app.journal.unit()
        # As if the process had died between the commit and what follows it.
        what = [DeviceId("GONE"), SIGNING_KEYS]
        untold_storage.upsert_untold(unit, UserId(ALICE), what, pos=unit.pos())
        await server.app.journal.commit(unit)

    async with running_server(config, transport=line):
        assert (await updates(inbox, 1))[0]["device_id"] == "GONE"
        await inbox.until(lambda inbox: bool(inbox.edus(SIGNING)))


async def test_what_the_database_was_away_for_is_told_when_it_is_back(
    server: Server,
    remote: Remote,
    phone: Client,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await shared_room(server, remote, phone)
    asked: list[UserId] = []
    untold = untold_storage.untold

    async def is_away_once(db: Reader, user_id: UserId, *, up_to: int) -> list[Untold]:
        asked.append(user_id)
        if len(asked) == 1:
            raise DatabaseUnavailable("it is being restarted")
        return await untold(db, user_id, up_to=up_to)

    monkeypatch.setattr(untold_storage, "untold", is_away_once)
    await publish(phone, CryptoDevice(ALICE, "PHONE"))

    assert (await updates(inbox, 1))[0]["device_id"] == "PHONE"
    assert not await _untold(server)


async def test_hostile_broken_keys_of_one_user_keep_nobody_elses_back(
    server: Server, remote: Remote, phone: Client, inbox: Inbox
) -> None:
    """CVE-2025-61672, should such keys ever get into the database."""
    room = await shared_room(server, remote, phone)
    other = server.client("@other:two.test", device_id="TABLET")
    await join(other, room.room_id)
    await publish(phone, CryptoDevice(ALICE, "PHONE"))
    await updates(inbox, 1)
    unit = Statements()
    unit.run(
        "UPDATE device_keys SET key_json = :key_json WHERE user_id = :user_id",
        key_json=b"[{",
        user_id=ALICE,
    )
    await server.db.commit(unit)

    renamed = await phone.put("/v3/devices/PHONE", {"display_name": "broken"})
    assert renamed.status == 200
    assert await _untold(server)
    await publish(other, CryptoDevice("@other:two.test", "TABLET"))

    assert (await updates(inbox, 2))[-1]["device_id"] == "TABLET"
    assert await _untold(server)


@pytest.mark.one_process(reason="it counts the queries of one process")
async def test_an_upload_costs_what_servers_there_are_not_rooms(
    server: Server, remote: Remote, phone: Client, inbox: Inbox
) -> None:
    """One row for each server, however many rooms and members they share."""
    for _ in range(5):
        room = await shared_room(server, remote, phone)
        for number in range(5):
            await room.join(f"@u{number}:far.test")
        await join(server.client("@local:two.test"), room.room_id)

    with counted(server.db) as queries:
        await publish(phone, CryptoDevice(ALICE, "PHONE"))
        await updates(inbox, 1)

    stored = [
        statement.sql
        for unit in queries.units
        for statement in unit.statements
        if "INSERT INTO federation_edus" in statement.sql
    ]
    assert len(stored) == 1


@pytest.mark.one_process(reason="it counts the queries of one process")
async def test_what_would_be_told_is_not_read_if_there_is_nobody_to_tell(
    server: Server, phone: Client
) -> None:
    with counted(server.db) as queries:
        await publish(phone, CryptoDevice(ALICE, "PHONE"))
        await _until_told(server)

    assert not [sql for sql in queries.reads if "remote_devices_told" in sql]
    stored = "".join(_sql_of(unit) for unit in queries.units)
    assert "INSERT INTO remote_devices_told" in stored


@pytest.mark.one_process(reason="it counts the units of one process")
async def test_that_there_was_nobody_to_tell_is_noted_of_many_users_at_once(
    server: Server, phone: Client
) -> None:
    others = [f"@user{number}:two.test" for number in range(5)]
    clients = [server.client(user_id, device_id="PHONE") for user_id in others]
    for client in clients:
        await client.get("/v3/account/whoami")

    with counted(server.db) as queries:
        await publish(phone, CryptoDevice(ALICE, "PHONE"))
        for user_id, client in zip(others, clients, strict=True):
            await publish(client, CryptoDevice(user_id, "PHONE"))
        await _until_told(server)

    noted = [unit for unit in queries.units if "remote_devices_told" in _sql_of(unit)]
    assert len(noted) == 1
    users = await untold_storage.untold_users(server.db)
    assert not users
    for user_id in (ALICE, *others):
        assert await untold_storage.told_stream_id(server.db, UserId(user_id))


async def test_who_joins_before_it_is_noted_that_there_is_nobody_is_told(
    server: Server,
    remote: Remote,
    phone: Client,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telling, "_NOTED_AFTER_S", 5.0)
    keys = await publish(phone, CryptoDevice(ALICE, "PHONE"))
    assert await _untold(server)

    await shared_room(server, remote, phone)

    [told] = await updates(inbox, 1)
    assert (told["device_id"], told["keys"], told["prev_id"]) == ("PHONE", keys, [0])
    await _until_told(server)
    assert (await listed(remote, server))["stream_id"] == told["stream_id"]


def _sql_of(unit: Unit) -> str:
    return "".join(statement.sql for statement in unit.statements)


async def _untold(server: Server) -> list[Untold]:
    pos = server.app.journal.position
    return await untold_storage.untold(server.db, UserId(ALICE), up_to=pos)


async def _until_told(server: Server) -> None:
    """Nothing is left to be told."""
    positions = server.app.journal
    while await _untold(server):
        await positions.wait(UserId(ALICE), positions.position, 0.01)
