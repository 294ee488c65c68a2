"""Pending invitations, exchanged for those of users of other servers."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, error_of, member, set_state, state
from tests.federation.hosted import Json
from tests.federation.memberships import ALICE, membership
from tests.federation.network import Federation
from tests.federation.remote import FAR, Refusal, Remote
from tests.http_client import Client, HttpResponse
from tests.server import Server
from tremula.protocol.base64 import encode_base64
from tremula.protocol.signing import SigningKey, sign_json

IDENTITY = SigningKey.from_seed("ed25519:0", bytes([7]) * 32)
USER = f"@user:{FAR}"


@pytest.fixture
async def room_id(alice: Client) -> str:
    """A room in which Alice invited somebody by an e-mail address."""
    room_id = await create_room(alice, room_version="11")
    pending = {"display_name": "u...", "public_key": encode_base64(IDENTITY.public_key)}
    await set_state(alice, room_id, "m.room.third_party_invite", pending, "token")
    return room_id


def proof(mxid: str = USER, token: str = "token") -> Json:
    """What an identity server signs."""
    return sign_json({"mxid": mxid, "token": token}, "id.test", IDENTITY)


def wish(room_id: str, signed: object = None, **event: object) -> Json:
    """What the server of an invited user asks for."""
    invite = {"display_name": "u...", "signed": signed or proof()}
    return {
        "type": "m.room.member",
        "room_id": room_id,
        "sender": ALICE,
        "state_key": USER,
        "content": {"membership": "invite", "third_party_invite": invite},
        **event,
    }


async def exchange(
    remote: Remote, server: Server, room_id: str, body: object
) -> HttpResponse:
    path = f"/v1/exchange_third_party_invite/{quote(room_id)}"
    return await remote.ask(server, path, method="PUT", content=body)


def changed(**content: object) -> Callable[[Json], Json]:
    """Another ``third_party_invite``."""

    def change(body: Json) -> Json:
        invite = {**body["content"]["third_party_invite"], **content}
        return {
            **body,
            "content": {"membership": "invite", "third_party_invite": invite},
        }

    return change


async def test_a_pending_invitation_becomes_that_of_a_user(
    alice: Client, one: Server, remote: Remote, federation: Federation, room_id: str
) -> None:
    remote.answers["/v2/invite/"] = remote.accept_invite

    response = await exchange(remote, one, room_id, wish(room_id))

    assert (response.status, response.json) == (200, {})
    assert await membership(alice, room_id, USER) == "invite"
    [letter] = federation.network.asked(FAR, "/v2/invite/")
    assert letter.json["event"]["sender"] == ALICE


async def test_nothing_else_of_a_wish_is_signed(
    alice: Client, one: Server, remote: Remote, room_id: str
) -> None:
    remote.answers["/v2/invite/"] = remote.accept_invite
    body = changed(evil={"a": 1})(wish(room_id, origin_server_ts=1, depth=1))
    body["content"] |= {"displayname": "Alice", "reason": "evil", "is_direct": True}

    assert (await exchange(remote, one, room_id, body)).status == 200

    content = await state(alice, room_id, "m.room.member", USER)
    assert content == wish(room_id)["content"]


HOSTILE: dict[str, Callable[[Json], Any]] = {
    "no event": lambda _: [],
    "another type": lambda body: {**body, "type": "m.room.power_levels"},
    "another room": lambda body: {**body, "room_id": "!other:one.test"},
    "no room": lambda body: {**body, "room_id": None},
    "a join": lambda body: {
        **body,
        "content": {**body["content"], "membership": "join"},
    },
    "a user of ours": lambda body: {**body, "state_key": "@dave:one.test"},
    "no user": lambda body: {**body, "state_key": ""},
    "by somebody else": lambda body: {**body, "sender": "@dave:one.test"},
    "by their own": lambda body: {**body, "sender": USER},
    "by nobody": lambda body: {**body, "sender": 7},
    "no third_party_invite": lambda body: {**body, "content": {"membership": "invite"}},
    "an empty one": changed(signed={}),
    "signed a text": changed(signed="x"),
    "a display_name that is none": changed(display_name={"a": 1}),
    "an unknown token": changed(signed=proof(token="other")),
    "a token that is none": changed(signed={**proof(), "token": ["token"]}),
    "proof for another user": changed(signed=proof(f"@other:{FAR}")),
    "proof that was changed": changed(
        signed={**proof(f"@other:{FAR}"), "mxid": USER},
    ),
    "more than was signed": changed(signed={**proof(), "more": 1}),
    "unsigned": changed(signed={**proof(), "signatures": {}}),
    "signed by another": changed(
        signed=sign_json(
            {"mxid": USER, "token": "token"},
            "id.test",
            SigningKey.from_seed("ed25519:0", bytes([8]) * 32),
        )
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_nothing_is_signed_without_a_pending_invitation_and_its_proof(
    alice: Client,
    one: Server,
    remote: Remote,
    federation: Federation,
    room_id: str,
    name: str,
) -> None:
    remote.answers["/v2/invite/"] = remote.accept_invite

    response = await exchange(remote, one, room_id, HOSTILE[name](wish(room_id)))

    assert error_of(response) in {
        (400, "M_INVALID_PARAM"),
        (400, "M_BAD_JSON"),
        (403, "M_FORBIDDEN"),
    }
    assert await membership(alice, room_id, USER) is None
    assert federation.network.asked(FAR, "/v2/invite/") == []


async def test_a_server_asks_for_its_own_users_only(
    alice: Client, one: Server, third: Remote, room_id: str
) -> None:
    response = await exchange(third, one, room_id, wish(room_id))

    assert error_of(response) == (400, "M_INVALID_PARAM")
    assert await membership(alice, room_id, USER) is None


async def test_a_proof_is_used_up_with_the_ban_of_its_user(
    alice: Client, one: Server, remote: Remote, room_id: str
) -> None:
    remote.answers["/v2/invite/"] = remote.accept_invite
    assert (await exchange(remote, one, room_id, wish(room_id))).status == 200
    assert (await member(alice, room_id, "ban", USER)).status == 200

    again = await exchange(remote, one, room_id, wish(room_id))

    assert error_of(again) == (403, "M_FORBIDDEN")
    assert await membership(alice, room_id, USER) == "ban"


async def test_an_invitation_that_its_server_does_not_sign_is_none(
    alice: Client, one: Server, remote: Remote, room_id: str
) -> None:
    remote.answers["/v2/invite/"] = Refusal(403, "M_FORBIDDEN")

    response = await exchange(remote, one, room_id, wish(room_id))

    assert error_of(response) == (403, "M_FORBIDDEN")
    assert await membership(alice, room_id, USER) is None


async def test_keys_that_nobody_can_check_are_not_relied_on(
    alice: Client, one: Server, remote: Remote, room_id: str
) -> None:
    pending = {
        "display_name": "u...",
        "public_key": encode_base64(IDENTITY.public_key),
        "key_validity_url": "https://id.test/valid",
    }
    await set_state(alice, room_id, "m.room.third_party_invite", pending, "token")

    response = await exchange(remote, one, room_id, wish(room_id))

    assert error_of(response) == (403, "M_FORBIDDEN")


async def test_an_exchange_for_a_room_that_is_not_ours_is_refused(
    one: Server, remote: Remote
) -> None:
    response = await exchange(remote, one, "!no:one.test", wish("!no:one.test"))

    assert error_of(response) == (404, "M_NOT_FOUND")
