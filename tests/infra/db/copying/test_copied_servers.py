"""A server that is started on a copy is the one that was on the source."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.conftest import DatabaseSource
from tests.features.rooms import create_room, join, send
from tests.features.sync.syncing import room_of, sync, token
from tests.federation.network import running_federation
from tests.federation.remote import add_remote
from tests.federation.rooms import Inbox, RemoteRoom
from tests.http_client import Client
from tests.infra.db.copying.copies import Recorder, dump
from tests.server import Server
from tremula.infra.db.copying import copy_database
from tremula.protocol.identifiers import RoomId

ALICE = "@alice:a.test"
DAVE = "@dave:a.test"
BOB = "@bob:far.test"


async def test_it_answers_as_the_source_did(
    source: DatabaseSource, target: DatabaseSource, tmp_path: Path
) -> None:
    async with _running(tmp_path, source) as (old, remote_room):
        alice = old.client(ALICE, device_id="PHONE")
        await _keep_things(alice)
        since = await token(alice)
        room_id = remote_room.room_id
        await _talk(remote_room, alice, old.client(DAVE))
        expected = await _seen(alice, room_id, since)
        access_token = alice.login.token

    await copy_database(source, target, Recorder())
    # What a server writes when it starts is not of interest.
    copied, original = await dump(target), await dump(source)
    assert copied == original
    _assert_filled(copied)

    async with _started(tmp_path, target) as new:
        alice_again = Client(new.http, access_token)
        assert await _seen(alice_again, room_id, since) == expected

        event_id = await send(alice_again, room_id, "still here")
        timeline = room_of(await sync(alice_again, since), room_id)["timeline"]
        assert timeline["events"][-1]["event_id"] == event_id


@asynccontextmanager
async def _started(folder: Path, database: DatabaseSource) -> AsyncIterator[Server]:
    async with running_federation(folder) as federation:
        yield await federation.start("a.test", database)


@asynccontextmanager
async def _running(
    folder: Path, database: DatabaseSource
) -> AsyncIterator[tuple[Server, RemoteRoom]]:
    """A server, and a room of Alice's there that Bob of another one is in."""
    inbox = Inbox()
    async with running_federation(folder) as federation:
        server = await federation.start("a.test", database)
        remote = add_remote(federation, "far.test")
        remote.answers["/v1/send/"] = inbox.answer
        alice = server.client(ALICE, device_id="PHONE")
        room_id = await create_room(alice, preset="public_chat", room_alias_name="all")
        server.users.add(ALICE)
        room = RemoteRoom(server, remote, RoomId(room_id))
        await room.join(BOB)
        yield server, room
        await inbox.until(lambda arrived: bool(arrived.pdus))


async def _keep_things(alice: Client) -> None:
    user = f"/v3/user/{quote(ALICE)}"
    for path, body in {
        f"{user}/account_data/org.note": {"note": "\U0001f4dd"},
        f"/v3/profile/{quote(ALICE)}/displayname": {"displayname": "Алиса"},
        f"/v3/presence/{quote(ALICE)}/status": {
            "presence": "online",
            "status_msg": "here",
        },
        "/v3/devices/PHONE": {"display_name": "Telephone"},
    }.items():
        assert (await alice.put(path, body)).status == 200
    for path in (f"{user}/filter", f"{user}/openid/request_token"):
        assert (await alice.post(path, {})).status == 200


async def _talk(room: RemoteRoom, alice: Client, dave: Client) -> None:
    await join(dave, room.room_id)
    for number in range(3):
        await send(alice, room.room_id, f"number {number}")
    content = {"msgtype": "m.text", "body": "from afar"}
    event_id = await room.accepted(BOB, "m.room.message", content)
    path = f"/v3/rooms/{quote(room.room_id)}/receipt/m.read/{quote(event_id)}"
    assert (await dave.post(path, {})).status == 200
    await send(dave, room.room_id, "read")


async def _seen(client: Client, room_id: str, since: str) -> dict[str, Any]:
    """What a user is told, but for how long ago that was."""
    news, everything = await sync(client, since), await sync(client)
    room = f"/v3/rooms/{quote(room_id)}"
    before = room_of(news, room_id)["timeline"]["prev_batch"]
    state = [
        *(await client.get(f"{room}/state")).json,
        *(await client.get(f"{room}/members")).json["chunk"],
    ]
    answers = [
        (await client.get(path)).json
        for path in (
            f"{room}/messages?dir=b&from={before}&limit=20",
            f"/v3/profile/{quote(ALICE)}",
            f"/v3/user/{quote(ALICE)}/account_data/org.note",
            "/v3/account/whoami",
        )
    ]
    return {
        "rooms": [_ageless(each["rooms"]) for each in (news, everything)],
        "account data": everything["account_data"],
        "answers": _ageless(answers),
        # In no order.
        "state": sorted(_ageless(state), key=itemgetter("event_id")),
    }


def _ageless(value: Any) -> Any:  # noqa: ANN401 - any JSON
    match value:
        case Mapping():
            return {key: _ageless(each) for key, each in value.items() if key != "age"}
        case list():
            return [_ageless(each) for each in value]
    return value


def _assert_filled(tables: Mapping[str, list[Any]]) -> None:
    """What the test would not be worth without."""
    for name in (
        *("account_data", "devices", "directory_aliases", "federation_destinations"),
        *("federation_outbox", "federation_room_servers", "filters", "openid_tokens"),
        *("presence", "profiles_fields", "receipts", "rooms_current_state"),
        *("rooms_events", "rooms_memberships", "rooms_state_changes"),
        *("server_keys_own", "server_keys_verify", "sessions_grants", "users"),
    ):
        assert tables[name], f"{name} is empty"
