"""Devices of other servers' users: kept while a room is shared, and as they change."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.device_keys import CryptoDevice
from tests.fakes.clock import FakeClock
from tests.features.rooms import create_room
from tests.federation.far_devices import (
    LIST,
    QUERY,
    FarDevices,
    changed_since,
    query,
    token_of,
)
from tests.federation.hosted import hosted_room
from tests.federation.memberships import join, leave
from tests.federation.network import Federation, Letter
from tests.federation.remote import FAR, Refusal, Remote, add_remote
from tests.federation.rooms import Inbox, RemoteRoom, send_edu
from tests.http_client import Client
from tests.server import Server, config_for, running_server
from tremula.protocol.identifiers import RoomId, ServerName

ALICE = "@alice:two.test"
BOB = "@bob:far.test"
CAROL = "@carol:far.test"


@pytest.fixture
def server(two: Server) -> Server:
    return two


@pytest.fixture
def alice(server: Server) -> Client:
    return server.client(ALICE)


@pytest.fixture
async def room(server: Server, remote: Remote) -> RemoteRoom:
    room_id = await create_room(server.client(ALICE), preset="public_chat")
    room = RemoteRoom(server, remote, RoomId(room_id))
    await room.join(BOB)
    return room


@pytest.fixture
def bobs(server: Server, remote: Remote, room: RemoteRoom) -> FarDevices:
    """Bob's devices, of whom a server in the same room tells."""
    devices = FarDevices(server, remote, BOB)
    devices.add("PHONE")
    return devices


async def test_a_list_is_fetched_once_and_kept(
    alice: Client, bobs: FarDevices, federation: Federation
) -> None:
    first = await query(alice, BOB)
    second = await query(alice, BOB)

    assert first == second
    assert first["device_keys"] == {BOB: bobs.keys}
    assert first["master_keys"][BOB]["keys"] == bobs.identity.public("master")["keys"]
    assert first["self_signing_keys"] == {BOB: bobs.identity.public("self_signing")}
    assert len(federation.network.asked("far.test", LIST)) == 1


@pytest.mark.one_process(reason="each process asks for those who ask it")
async def test_whoever_asks_at_the_same_time_waits_for_the_same_answer(
    alice: Client, bobs: FarDevices, federation: Federation
) -> None:
    answers = await asyncio.gather(*(query(alice, BOB) for _ in range(5)))

    assert all(each["device_keys"] == {BOB: bobs.keys} for each in answers)
    assert len(federation.network.asked("far.test", LIST)) == 1


async def test_an_update_is_taken_over_and_told(
    alice: Client, bobs: FarDevices, federation: Federation
) -> None:
    await query(alice, BOB)
    since = await token_of(alice)

    laptop = bobs.add("LAPTOP")
    await bobs.tell("LAPTOP")

    assert await changed_since(alice, since) == [BOB]
    assert (await query(alice, BOB))["device_keys"][BOB]["LAPTOP"] == laptop
    assert len(federation.network.asked("far.test", LIST)) == 1


async def test_a_deleted_device_is_gone(alice: Client, bobs: FarDevices) -> None:
    laptop = bobs.add("LAPTOP")
    await query(alice, BOB)

    await bobs.tell("PHONE", deleted=True)

    assert (await query(alice, BOB))["device_keys"] == {BOB: {"LAPTOP": laptop}}


async def test_an_update_that_was_fetched_already_changes_nothing(
    alice: Client, bobs: FarDevices
) -> None:
    await query(alice, BOB)
    since = await token_of(alice)

    await bobs.tell("PHONE", stream_id=5, prev_id=[4], deleted=True)

    assert (await query(alice, BOB))["device_keys"] == {BOB: bobs.keys}
    assert await changed_since(alice, since) == []


async def test_after_a_gap_the_list_is_fetched_anew(
    alice: Client, bobs: FarDevices, federation: Federation
) -> None:
    await query(alice, BOB)
    since = await token_of(alice)
    laptop = bobs.add("LAPTOP")
    bobs.stream_id = 9

    await bobs.tell("PHONE")

    assert await changed_since(alice, since) == [BOB]
    assert (await query(alice, BOB))["device_keys"][BOB]["LAPTOP"] == laptop
    await federation.network.until_asked("far.test", LIST)


async def test_new_signing_keys_are_taken_over_and_told(
    alice: Client, bobs: FarDevices, federation: Federation
) -> None:
    await query(alice, BOB)
    since = await token_of(alice)

    bobs.generation = "new"
    await bobs.tell_signing_keys()

    assert await changed_since(alice, since) == [BOB]
    found = await query(alice, BOB)
    assert found["master_keys"][BOB]["keys"] == bobs.identity.public("master")["keys"]
    assert found["self_signing_keys"] == {BOB: bobs.identity.public("self_signing")}
    assert len(federation.network.asked("far.test", LIST)) == 1


async def test_of_users_with_whom_no_room_is_shared_nothing_is_kept(
    server: Server, alice: Client, bobs: FarDevices, federation: Federation
) -> None:
    carols = FarDevices(server, bobs.remote, CAROL)
    carols.add("TABLET")
    bobs.remote.answers[QUERY] = carols.queried()
    since = await token_of(alice)

    await carols.tell("TABLET")
    for _ in range(2):
        assert (await query(alice, CAROL))["device_keys"] == {CAROL: carols.keys}

    assert await changed_since(alice, since) == []
    assert len(federation.network.asked("far.test", QUERY)) == 2
    assert await _rows(server) == []


async def test_who_was_away_is_asked_for_anew(
    alice: Client, bobs: FarDevices, room: RemoteRoom, federation: Federation
) -> None:
    """Their server had no reason to tell us of changes meanwhile."""
    await query(alice, BOB)
    await room.accepted(BOB, "m.room.member", {"membership": "leave"}, state_key=BOB)
    laptop = bobs.add("LAPTOP")
    await room.join(BOB)

    assert (await query(alice, BOB))["device_keys"][BOB]["LAPTOP"] == laptop
    assert len(federation.network.asked("far.test", LIST)) == 2


async def test_whose_devices_changed_while_we_were_away_is_told(
    bob: Client, server: Server, remote: Remote
) -> None:
    """Nobody told us then; and of the room itself nothing has changed."""
    room = hosted_room(remote)
    owners = FarDevices(server, remote, room.owner)
    owners.add("PHONE")
    await join(bob, room.id, FAR)
    await query(bob, room.owner)
    since = await token_of(bob)

    await leave(bob, room.id)
    owners.add("LAPTOP")
    await join(bob, room.id, FAR)

    assert await changed_since(bob, since) == [room.owner]
    found = await query(bob, room.owner)
    assert found["device_keys"] == {room.owner: owners.keys}


async def test_what_was_known_last_counts_while_a_server_is_down(
    alice: Client, bobs: FarDevices, federation: Federation
) -> None:
    await query(alice, BOB)
    federation.network.down.add("far.test")
    await bobs.tell("PHONE", prev_id=[99])

    found = await query(alice, BOB)

    assert found["device_keys"] == {BOB: bobs.keys}
    assert found["failures"]["far.test"]["errcode"] == "M_UNKNOWN"


async def test_a_list_that_is_wanted_is_fetched_after_a_restart(
    database_source: DatabaseSource, federation: Federation, tmp_path: Path
) -> None:
    """What failed is tried again later, and is not forgotten."""
    remote, clock, network = (
        add_remote(federation, FAR),
        FakeClock(),
        federation.network,
    )
    name = ServerName("two.test")
    config = replace(config_for(database_source, tmp_path), server_name=name)
    line = network.line(name)
    async with running_server(config, clock, transport=line) as server:
        network.add(server)
        alice = server.client(ALICE)
        room_id = await create_room(alice, preset="public_chat")
        await RemoteRoom(server, remote, RoomId(room_id)).join(BOB)
        bobs = FarDevices(server, remote, BOB)
        await query(alice, BOB)
        network.down.add(FAR)
        await bobs.tell("PHONE", prev_id=[99])
        assert (await query(alice, BOB))["failures"]
        since = await token_of(alice)
    network.heal()
    network.letters.clear()
    laptop = bobs.add("LAPTOP")
    clock.advance_ms(3600_000)

    async with running_server(config, clock, transport=line) as server:
        await network.until_asked(FAR, LIST)
        server.users.add(ALICE)
        alice = server.client(ALICE)
        assert (await query(alice, BOB))["device_keys"] == {BOB: {"LAPTOP": laptop}}
        assert await changed_since(alice, since, timeout_ms=20_000) == [BOB]


async def test_of_many_users_keys_are_asked_for_at_once(
    server: Server,
    alice: Client,
    bobs: FarDevices,
    federation: Federation,
    room: RemoteRoom,
) -> None:
    others = [f"@u{number}:far.test" for number in range(11)]
    for user_id in others:
        await room.join(user_id)
    bobs.remote.answers[QUERY] = {"device_keys": {each: {} for each in others}}

    found = await query(alice, *others)

    assert set(found["device_keys"]) == set(others)
    assert len(federation.network.asked("far.test", QUERY)) == 1


# Hostile servers


async def test_hostile_a_server_tells_of_its_own_users_only(
    server: Server, alice: Client, bobs: FarDevices, federation: Federation
) -> None:
    await query(alice, BOB)
    since = await token_of(alice)
    other = add_remote(federation, "other.test", 2)
    update = {"user_id": BOB, "device_id": "PHONE", "stream_id": 6, "prev_id": [5]}

    await send_edu(server, other, "m.device_list_update", {**update, "deleted": True})
    await send_edu(server, other, "m.signing_key_update", {"user_id": BOB})
    for user_id in (ALICE, "@nobody:two.test", "bob", "", "@:far.test"):
        content = {**update, "user_id": user_id, "deleted": True}
        await send_edu(server, bobs.remote, "m.device_list_update", content)

    assert await changed_since(alice, since) == []
    assert (await query(alice, BOB))["device_keys"] == {BOB: bobs.keys}


ODD: tuple[object, ...] = (
    None,
    7,
    "x",
    [],
    True,
    1.5,
    -1,
    2**53,
    2**63,
    {"a": {"b": []}},
    "\0",
    "x" * 9999,
)


@pytest.mark.parametrize(
    "name", ["device_id", "stream_id", "prev_id", "deleted", "keys", "user_id"]
)
async def test_hostile_malformed_updates_harm_nobody(
    alice: Client, bobs: FarDevices, name: str
) -> None:
    await query(alice, BOB)

    for odd in ODD:
        await bobs.tell("ODD", **{name: odd})
    await bobs.tell_signing_keys(master_key=ODD, self_signing_key=7)

    laptop = bobs.add("LAPTOP")
    await bobs.tell("LAPTOP")
    found = await query(alice, BOB)
    assert found["device_keys"][BOB]["PHONE"] == bobs.keys["PHONE"]
    assert found["device_keys"][BOB]["LAPTOP"] == laptop
    assert found["failures"] == {}


async def test_hostile_malformed_keys_in_a_list_are_left_out(
    alice: Client, bobs: FarDevices
) -> None:
    good = bobs.keys["PHONE"]
    for number, odd in enumerate(ODD):
        bobs.keys[f"ODD{number}"] = odd
    bobs.keys["STOLEN"] = CryptoDevice(CAROL, "STOLEN").keys()
    bobs.keys["OTHER"] = CryptoDevice(BOB, "ANOTHER").keys()

    assert (await query(alice, BOB))["device_keys"] == {BOB: {"PHONE": good}}


@pytest.mark.parametrize("answer", [*ODD, {}, {"user_id": BOB, "devices": {}}])
async def test_hostile_a_malformed_list_is_a_failure_of_its_server(
    alice: Client, bobs: FarDevices, answer: object
) -> None:
    bobs.remote.answers[bobs.path] = answer

    found = await query(alice, BOB, ALICE)

    assert found["failures"]["far.test"]["errcode"] == "M_UNKNOWN"
    assert ALICE in found["device_keys"]


async def test_hostile_malformed_keys_do_not_wedge_sending(
    server: Server, alice: Client, bobs: FarDevices
) -> None:
    """CVE-2025-61672."""
    inbox = Inbox()
    bobs.remote.answers["/v1/send/"] = inbox.answer
    bobs.keys["PHONE"] = {"keys": {"ed25519:PHONE": 7}, "signatures": []}
    await bobs.tell("PHONE")
    await query(alice, BOB)
    phone = server.client(ALICE, device_id="PHONE")

    keys = CryptoDevice(ALICE, "PHONE").keys()
    assert (await phone.post("/v3/keys/upload", {"device_keys": keys})).status == 200

    await inbox.until(lambda inbox: bool(inbox.edus("m.device_list_update")))


async def test_a_user_whom_their_server_does_not_know_is_left_out(
    alice: Client, bobs: FarDevices
) -> None:
    bobs.remote.answers[bobs.path] = Refusal(404, "M_NOT_FOUND")

    found = await query(alice, BOB)

    assert found["device_keys"] == {}
    assert found["failures"] == {}


async def test_an_update_during_a_fetch_is_not_lost(
    alice: Client, bobs: FarDevices, federation: Federation
) -> None:
    before = bobs.listed()

    async def told_meanwhile(_letter: Letter) -> object:
        bobs.remote.answers[bobs.path] = lambda _letter: bobs.listed()
        bobs.add("LAPTOP")
        await bobs.tell("LAPTOP")
        return before

    bobs.remote.answers[bobs.path] = told_meanwhile
    await query(alice, BOB)

    assert "LAPTOP" in (await query(alice, BOB))["device_keys"][BOB]


async def _rows(server: Server) -> list[object]:
    found: list[object] = []
    found += await server.db.all("SELECT user_id FROM remote_devices_lists")
    found += await server.db.all("SELECT user_id FROM remote_devices")
    found += await server.db.all("SELECT user_id FROM remote_devices_wanted")
    return found
