"""Servers that invite users of this one in ways that nobody should sign."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.features.rooms import error_of
from tests.federation.hosted import HostedRoom, Json, hosted_room
from tests.federation.memberships import BOB, rooms, stored_rooms
from tests.federation.remote import FAR, Remote
from tests.http_client import Client, HttpResponse
from tests.server import Server
from tremula.protocol.hashes import event_id_of
from tremula.protocol.room_versions import ROOM_VERSIONS, RoomVersion


async def invite(
    remote: Remote,
    server: Server,
    body: Json,
    *,
    room_id: str | None = None,
    event_id: str | None = None,
    version: RoomVersion = ROOM_VERSIONS["11"],
) -> HttpResponse:
    """Send an invitation, to the path that is right for it unless given."""
    room_id = room_id or body["event"]["room_id"]
    event_id = event_id or event_id_of(version, body["event"])
    path = f"/v2/invite/{quote(str(room_id))}/{quote(event_id)}"
    return await remote.ask(server, path, method="PUT", content=body)


@pytest.fixture
def hosted(remote: Remote) -> HostedRoom:
    return hosted_room(remote)


async def test_an_invitation_of_a_hand_written_server_is_signed(
    bob: Client, two: Server, hosted: HostedRoom
) -> None:
    """What the tests below change is otherwise right."""
    body = hosted.invitation(BOB)

    response = await invite(hosted.remote, two, body)

    assert response.status == 200
    assert response.json["event"]["signatures"].keys() == {FAR, "two.test"}
    assert list(await rooms(bob, "invite")) == [hosted.id]


MISUSED_INVITATIONS: dict[str, Json] = {
    "a join": {"content": {"membership": "join"}},
    "a ban": {"content": {"membership": "ban"}},
    "no membership": {"content": {}},
    "a message": {"type": "m.room.message", "content": {"body": "hi"}},
    "power levels": {"type": "m.room.power_levels", "state_key": ""},
    "a create event": {"type": "m.room.create", "state_key": ""},
    "of a user of another server": {"state_key": "@bob:one.test"},
    "of nobody": {"state_key": "bob"},
    "by a user of another server": {"sender": "@owner:third.test"},
    "by one of our users": {"sender": "@dave:two.test"},
    "without a state_key": {"state_key": None},
}


@pytest.mark.parametrize("name", MISUSED_INVITATIONS)
async def test_nothing_but_an_invitation_of_our_user_is_signed(
    bob: Client, two: Server, hosted: HostedRoom, name: str
) -> None:
    body = hosted.invitation(BOB)
    pdu = {**body["event"], **MISUSED_INVITATIONS[name]}
    if pdu["state_key"] is None:
        del pdu["state_key"]
    body["event"] = hosted.remote.signed(pdu)

    response = await invite(hosted.remote, two, body)

    assert error_of(response) == (400, "M_INVALID_PARAM")
    assert not await stored_rooms(two)


async def test_cve_2020_26257_the_invitation_must_be_the_one_in_the_path(
    bob: Client, two: Server, hosted: HostedRoom
) -> None:
    body = hosted.invitation(BOB)

    elsewhere = await invite(hosted.remote, two, body, room_id="!other:far.test")
    other_event = await invite(hosted.remote, two, body, event_id="$" + "a" * 43)

    assert error_of(elsewhere) == error_of(other_event) == (400, "M_INVALID_PARAM")
    assert not await stored_rooms(two)


async def test_an_invitation_is_signed_by_who_invites(
    bob: Client, two: Server, hosted: HostedRoom, third: Remote
) -> None:
    body = hosted.invitation(BOB)

    unsigned = {**body, "event": {**body["event"], "signatures": {}}}
    changed = {**body, "event": {**body["event"], "origin_server_ts": 1}}

    for forged in (unsigned, changed, {**body, "event": third.signed(body["event"])}):
        response = await invite(hosted.remote, two, forged)
        assert error_of(response) == (400, "M_INVALID_PARAM")
    assert error_of(await invite(third, two, body)) == (400, "M_INVALID_PARAM")
    assert not await stored_rooms(two)


MALFORMED_CONTENTS: dict[str, Json] = {
    "displayname a number": {"displayname": 7},
    "displayname an object": {"displayname": {"a": 1}},
    "displayname too long": {"displayname": "x" * 10_000},
    "avatar_url a list": {"avatar_url": ["mxc://a/b"]},
    "reason an object": {"reason": {}},
    "is_direct a text": {"is_direct": "yes"},
    "third_party_invite a text": {"third_party_invite": "x"},
}


@pytest.mark.parametrize("name", MALFORMED_CONTENTS)
async def test_cve_2024_52815_an_invitation_with_malformed_content_is_refused(
    bob: Client, two: Server, hosted: HostedRoom, name: str
) -> None:
    """It must not come into a /sync, which clients then cannot read."""
    body = hosted.invitation(BOB, **MALFORMED_CONTENTS[name])

    response = await invite(hosted.remote, two, body)

    assert error_of(response) == (400, "M_INVALID_PARAM")
    assert not await rooms(bob, "invite")


@pytest.mark.parametrize(
    "entry",
    [
        7,
        None,
        [],
        {},
        {"type": 1, "state_key": "", "sender": "@a:b", "content": {}},
        {"type": "m.room.name", "sender": "@a:b", "content": {}},
        {"type": "m.room.name", "state_key": "", "content": {}},
        {"type": "m.room.name", "state_key": "", "sender": "@a:b", "content": "x"},
    ],
)
async def test_malformed_state_of_an_invitation_is_left_out(
    bob: Client, two: Server, hosted: HostedRoom, entry: object
) -> None:
    body = hosted.invitation(BOB)
    body["invite_room_state"].append(entry)

    assert (await invite(hosted.remote, two, body)).status == 200

    (shown,) = (await rooms(bob, "invite")).values()
    types = [event["type"] for event in shown["invite_state"]["events"]]
    assert "m.room.name" not in types


Alter = Callable[[Json], Any]

LARGE = {
    "type": "m.room.topic",
    "state_key": "",
    "sender": "@owner:far.test",
    "content": {"topic": "x" * 60_000},
}


@pytest.mark.parametrize("state", [[LARGE] * 5, [LARGE | {"content": {}}] * 101])
async def test_cve_2023_32323_an_oversized_invite_room_state_is_refused(
    bob: Client, two: Server, hosted: HostedRoom, state: list[Json]
) -> None:
    body = {**hosted.invitation(BOB), "invite_room_state": state}

    response = await invite(hosted.remote, two, body)

    assert error_of(response) == (413, "M_TOO_LARGE")
    assert not await stored_rooms(two)


@pytest.mark.parametrize("state", ["x", {"a": 1}, 7, None])
async def test_an_invite_room_state_that_is_no_list_is_refused(
    bob: Client, two: Server, hosted: HostedRoom, state: object
) -> None:
    body = {**hosted.invitation(BOB), "invite_room_state": state}

    assert error_of(await invite(hosted.remote, two, body)) == (400, "M_BAD_JSON")


@pytest.mark.parametrize("event", [None, "x", [], 7])
async def test_an_invitation_without_an_event_is_refused(
    bob: Client, two: Server, hosted: HostedRoom, event: object
) -> None:
    body = {**hosted.invitation(BOB), "event": event}

    response = await invite(
        hosted.remote, two, body, room_id=hosted.id, event_id="$" + "a" * 43
    )

    assert error_of(response) == (400, "M_BAD_JSON")


@pytest.mark.parametrize("version", ["99", 11, None])
async def test_an_invitation_to_a_room_of_an_unknown_version_is_refused(
    bob: Client, two: Server, hosted: HostedRoom, version: object
) -> None:
    body = {**hosted.invitation(BOB), "room_version": version}

    response = await invite(hosted.remote, two, body)

    assert error_of(response) == (400, "M_INCOMPATIBLE_ROOM_VERSION")


def stripped(body: Json) -> Json:
    return {
        **body,
        "invite_room_state": [
            {key: event[key] for key in ("type", "state_key", "sender", "content")}
            for event in body["invite_room_state"]
        ],
    }


async def test_older_servers_tell_stripped_state(
    bob: Client, two: Server, hosted: HostedRoom
) -> None:
    response = await invite(hosted.remote, two, stripped(hosted.invitation(BOB)))

    assert response.status == 200


def without_create(body: Json) -> Json:
    state = [e for e in body["invite_room_state"] if e["type"] != "m.room.create"]
    return {**body, "invite_room_state": state}


def with_forged_name(body: Json) -> Json:
    name = {**body["invite_room_state"][2], "type": "m.room.name"}
    return {**body, "invite_room_state": [*body["invite_room_state"], name]}


@pytest.mark.parametrize("alter", [stripped, without_create, with_forged_name])
async def test_from_version_12_on_the_state_must_be_signed(
    bob: Client, two: Server, remote: Remote, alter: Alter
) -> None:
    room = hosted_room(remote, "12")
    version = ROOM_VERSIONS["12"]
    body = alter(room.invitation(BOB))

    response = await invite(remote, two, body, version=version)

    assert error_of(response) == (400, "M_INVALID_PARAM")
    right = await invite(remote, two, room.invitation(BOB), version=version)
    assert right.status == 200


async def test_older_servers_invite_by_the_first_version(
    bob: Client, two: Server, remote: Remote
) -> None:
    room = hosted_room(remote, "1")
    body = room.invitation(BOB)
    pdu = {
        **body["event"],
        "unsigned": {"invite_room_state": body["invite_room_state"]},
    }
    path = f"/v1/invite/{quote(room.id)}/{quote(str(pdu['event_id']))}"

    response = await remote.ask(two, path, method="PUT", content=pdu)

    status, answer = response.json
    assert (response.status, status) == (200, 200)
    assert "two.test" in answer["event"]["signatures"]
    assert list(await rooms(bob, "invite")) == [room.id]
    # What is said of the version is hearsay until the room is joined.
    joined = await bob.post(f"/v3/join/{quote(room.id)}", {})
    assert joined.status == 200, joined.body
    created = await bob.get(f"/v3/rooms/{quote(room.id)}/state/m.room.create")
    assert created.json["room_version"] == "1"


async def test_a_member_is_not_invited_again(
    bob: Client, two: Server, hosted: HostedRoom
) -> None:
    await bob.post(f"/v3/join/{quote(hosted.id)}", {}, query={"via": FAR})

    response = await invite(hosted.remote, two, hosted.invitation(BOB))

    assert error_of(response) == (403, "M_FORBIDDEN")


async def test_invitations_are_taken_back_by_nobody_else(
    bob: Client, two: Server, hosted: HostedRoom, third: Remote
) -> None:
    """A server that is not the inviter's says that the user was kicked."""
    await invite(hosted.remote, two, hosted.invitation(BOB))
    hosted.add("m.room.topic", {"topic": "later"})
    kick = hosted.build("m.room.member", {"membership": "leave"}, state_key=BOB)
    by_third = {**hosted.pdu(kick), "sender": "@x:third.test"}
    forged = third.signed(by_third)

    for origin, pdu in (
        (third, forged),
        (third, hosted.pdu(kick)),
        (hosted.remote, {**hosted.pdu(kick), "signatures": {}}),
    ):
        results = await origin.send(two, pdu)
        assert all("error" in result for result in results.values())
    assert list(await rooms(bob, "invite")) == [hosted.id]

    await hosted.remote.send(two, hosted.pdu(kick))
    assert not await rooms(bob, "invite")
