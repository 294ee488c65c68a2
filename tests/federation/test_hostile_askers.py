"""Servers that ask this one to sign, or to take in, what they should not."""

from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, error_of, member, set_state
from tests.federation.memberships import ALICE, membership
from tests.federation.remote import FAR, Pdu, Remote
from tests.http_client import Client, HttpResponse
from tests.server import Server
from tremula.protocol.hashes import event_id_of
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.protocol.signing import SigningKey, sign_event

EVE = "@eve:far.test"
WANTED = ["join", "knock", "leave"]
ALL_VERSIONS = {"ver": list(ROOM_VERSIONS)}


@pytest.fixture
async def room_id(alice: Client) -> str:
    return await create_room(alice, preset="public_chat", room_version="11")


async def make(
    remote: Remote, server: Server, room_id: str, membership: str, user_id: str = EVE
) -> HttpResponse:
    """Ask for a template."""
    path = f"/v1/make_{membership}/{quote(room_id)}/{quote(user_id)}"
    query = None if membership == "leave" else ALL_VERSIONS
    return await remote.ask(server, path, query)


async def signed_template(
    remote: Remote, server: Server, room_id: str, wanted: str
) -> Pdu:
    """A template that *remote* has signed."""
    made = await make(remote, server, room_id, wanted)
    assert made.status == 200, made.body
    return remote.signed(made.json["event"])


async def send(
    remote: Remote,
    server: Server,
    room_id: str,
    wanted: str,
    pdu: Pdu,
    *,
    event_id: str | None = None,
) -> HttpResponse:
    """Send an event by the endpoint for memberships of one kind."""
    event_id = event_id or event_id_of(ROOM_VERSIONS["11"], pdu)
    name = {"join": "v2/send_join", "leave": "v2/send_leave", "knock": "v1/send_knock"}
    path = f"/{name[wanted]}/{quote(room_id)}/{quote(event_id)}"
    return await remote.ask(server, path, method="PUT", content=pdu)


async def let(
    wanted: str, alice: Client, remote: Remote, one: Server, room_id: str
) -> None:
    """Make a room let EVE do what she wants."""
    if wanted == "knock":
        await set_state(alice, room_id, "m.room.join_rules", {"join_rule": "knock"})
    if wanted == "leave":
        await remote.join(one, room_id, "eve")


MISUSES: dict[str, Pdu] = {
    "a message": {"type": "m.room.message", "content": {"body": "hi"}},
    "power levels": {"type": "m.room.power_levels", "state_key": "", "content": {}},
    "a ban": {"content": {"membership": "ban"}},
    "an invite": {"content": {"membership": "invite"}},
    "no membership": {"content": {}},
    "a membership that is none": {"content": {"membership": ["join"]}},
    "of another user": {"state_key": ALICE},
    "by a user of another server": {"sender": ALICE, "state_key": ALICE},
    "without a state_key": {"state_key": None},
    "of another room": {"room_id": "!other:one.test"},
}


@pytest.mark.parametrize("name", MISUSES)
@pytest.mark.parametrize("wanted", WANTED)
async def test_only_the_membership_that_an_endpoint_is_for_is_taken_in(
    alice: Client, one: Server, remote: Remote, room_id: str, wanted: str, name: str
) -> None:
    await let(wanted, alice, remote, one, room_id)
    before = await membership(alice, room_id, EVE)
    pdu = await signed_template(remote, one, room_id, wanted)
    pdu |= MISUSES[name]
    if pdu["state_key"] is None:
        del pdu["state_key"]
    pdu = remote.signed(pdu)

    response = await send(remote, one, room_id, wanted, pdu)

    assert error_of(response) == (400, "M_INVALID_PARAM")
    assert await membership(alice, room_id, EVE) == before
    event_id = event_id_of(ROOM_VERSIONS["11"], pdu)
    assert not await one.db.all(
        "SELECT event_nid FROM rooms_events WHERE event_id = :id", id=event_id
    )


@pytest.mark.parametrize("wanted", WANTED)
async def test_cve_2020_26257_the_event_must_be_the_one_in_the_path(
    alice: Client, one: Server, remote: Remote, room_id: str, wanted: str
) -> None:
    other_id = await create_room(alice, preset="public_chat", room_version="11")
    for each in (room_id, other_id):
        await let(wanted, alice, remote, one, each)
    before = await membership(alice, room_id, EVE)
    pdu = await signed_template(remote, one, room_id, wanted)

    elsewhere = await send(remote, one, other_id, wanted, pdu)
    other_event = await send(remote, one, room_id, wanted, pdu, event_id="$" + "a" * 43)

    assert error_of(elsewhere) == error_of(other_event) == (400, "M_INVALID_PARAM")
    assert await membership(alice, room_id, EVE) == before
    assert await membership(alice, other_id, EVE) == before


async def test_an_event_that_its_server_did_not_sign_is_refused(
    alice: Client, one: Server, remote: Remote, third: Remote, room_id: str
) -> None:
    pdu = await signed_template(remote, one, room_id, "join")
    by_another = third.signed(pdu)
    key = SigningKey.from_seed(remote.key.key_id, b"x" * 32)
    by_another_key = sign_event(
        ROOM_VERSIONS["11"], {**pdu, "signatures": {}}, remote.name, key
    )

    for forged in (by_another, by_another_key, {**pdu, "signatures": {}}):
        response = await send(remote, one, room_id, "join", forged)
        assert error_of(response) == (400, "M_INVALID_PARAM")
    assert await membership(alice, room_id, EVE) is None


async def test_an_event_that_was_changed_after_it_was_signed_is_refused(
    alice: Client, one: Server, remote: Remote, room_id: str
) -> None:
    pdu = await signed_template(remote, one, room_id, "join")
    changed = {**pdu, "content": {**pdu["content"], "displayname": "Eve"}}

    response = await send(remote, one, room_id, "join", changed)

    assert error_of(response) == (400, "M_INVALID_PARAM")
    assert await membership(alice, room_id, EVE) is None


async def test_a_server_sends_no_events_of_another(
    alice: Client, one: Server, remote: Remote, third: Remote, room_id: str
) -> None:
    pdu = await signed_template(remote, one, room_id, "join")

    response = await send(third, one, room_id, "join", pdu)

    assert error_of(response) == (400, "M_INVALID_PARAM")


async def test_a_join_sent_twice_is_answered_twice(
    alice: Client, one: Server, remote: Remote, room_id: str
) -> None:
    pdu = await signed_template(remote, one, room_id, "join")

    first = await send(remote, one, room_id, "join", pdu)
    second = await send(remote, one, room_id, "join", pdu)

    assert first.status == second.status == 200
    assert first.json == second.json


@pytest.mark.parametrize("wanted", WANTED)
async def test_no_template_is_made_for_users_of_other_servers(
    alice: Client, one: Server, remote: Remote, room_id: str, wanted: str
) -> None:
    await let(wanted, alice, remote, one, room_id)

    for user_id in (ALICE, "@carol:third.test", "@eve:FAR.test"):
        response = await make(remote, one, room_id, wanted, user_id)
        assert error_of(response) == (403, "M_FORBIDDEN")


async def test_a_template_needs_a_version_that_the_asker_knows(
    one: Server, remote: Remote, room_id: str
) -> None:
    path = f"/v1/make_join/{room_id}/{EVE}"

    for query in (None, {"ver": ["1", "10"]}):
        response = await remote.ask(one, path, query)
        assert error_of(response) == (400, "M_INCOMPATIBLE_ROOM_VERSION")
        assert response.json["room_version"] == "11"


@pytest.mark.parametrize("wanted", WANTED)
async def test_an_unknown_room_has_no_templates(
    one: Server, remote: Remote, wanted: str
) -> None:
    response = await make(remote, one, "!nowhere:one.test", wanted)

    assert error_of(response) == (404, "M_NOT_FOUND")


async def test_nobody_leaves_a_room_that_they_are_not_in(
    one: Server, remote: Remote, room_id: str
) -> None:
    response = await make(remote, one, room_id, "leave")

    assert error_of(response) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize("wanted", WANTED)
async def test_the_acl_holds_for_every_endpoint(
    alice: Client, one: Server, remote: Remote, room_id: str, wanted: str
) -> None:
    await let(wanted, alice, remote, one, room_id)
    pdu = await signed_template(remote, one, room_id, wanted)
    acl = {"allow": ["*"], "deny": ["FAR.test"]}
    await set_state(alice, room_id, "m.room.server_acl", acl)

    refused = await make(remote, one, room_id, wanted)
    sent = await send(remote, one, room_id, wanted, pdu)

    assert error_of(refused) == error_of(sent) == (403, "M_FORBIDDEN")


async def test_a_room_that_does_not_federate_gives_no_templates(
    alice: Client, one: Server, remote: Remote
) -> None:
    room_id = await create_room(
        alice, preset="public_chat", creation_content={"m.federate": False}
    )

    response = await make(remote, one, room_id, "join")

    assert error_of(response) == (403, "M_FORBIDDEN")


async def test_members_are_left_out_where_the_asker_wants_it(
    alice: Client, one: Server, remote: Remote
) -> None:
    room_id = await create_room(
        alice, preset="public_chat", room_version="11", name="Aspens"
    )
    pdu = await signed_template(remote, one, room_id, "join")
    path = f"/v2/send_join/{quote(room_id)}/"
    path += quote(event_id_of(ROOM_VERSIONS["11"], pdu))

    response = await remote.ask(
        one, path, {"omit_members": "true"}, method="PUT", content=pdu
    )

    answer = response.json
    assert answer["members_omitted"] is True
    assert answer["servers_in_room"] == ["one.test"]
    types = {event["type"] for event in answer["state"]}
    assert "m.room.member" not in types
    assert {"m.room.create", "m.room.name", "m.room.power_levels"} <= types
    # The auth chain of the join has the member that the others need.
    chain = {(event["type"], event["state_key"]) for event in answer["auth_chain"]}
    assert ("m.room.member", ALICE) in chain


async def test_a_room_without_a_name_tells_its_heroes(
    one: Server, remote: Remote, room_id: str
) -> None:
    pdu = await signed_template(remote, one, room_id, "join")
    path = f"/v2/send_join/{quote(room_id)}/"
    path += quote(event_id_of(ROOM_VERSIONS["11"], pdu))

    response = await remote.ask(
        one, path, {"omit_members": "true"}, method="PUT", content=pdu
    )

    members = [e for e in response.json["state"] if e["type"] == "m.room.member"]
    assert [event["state_key"] for event in members] == [ALICE]


# --- restricted rooms


async def restricted_room(alice: Client, allowed: str, version: str = "11") -> str:
    allow = [{"type": "m.room_membership", "room_id": allowed}]
    rules = {"join_rule": "restricted", "allow": allow}
    return await create_room(
        alice,
        room_version=version,
        initial_state=[{"type": "m.room.join_rules", "content": rules}],
    )


async def test_a_restricted_room_vouches_for_members_of_the_other(
    alice: Client, one: Server, remote: Remote, room_id: str
) -> None:
    restricted = await restricted_room(alice, room_id)

    stranger = await make(remote, one, restricted, "join")
    await remote.join(one, room_id, "eve")
    made = await make(remote, one, restricted, "join")
    pdu = remote.signed(made.json["event"])
    sent = await send(remote, one, restricted, "join", pdu)

    assert error_of(stranger) == (403, "M_FORBIDDEN")
    via = made.json["event"]["content"]["join_authorised_via_users_server"]
    assert via == ALICE
    assert sent.json["event"]["signatures"].keys() == {FAR, "one.test"}
    assert await membership(alice, restricted, EVE) == "join"


async def test_nobody_vouches_for_who_says_so_themselves(
    alice: Client, one: Server, remote: Remote, room_id: str
) -> None:
    """A join that was never a template, naming one of our users."""
    restricted = await restricted_room(alice, room_id)
    await member(alice, restricted, "invite", "@other:one.test")
    template = (await make(remote, one, room_id, "join")).json["event"]
    view = await one.client(ALICE).get(f"/v3/rooms/{restricted}/state")
    ids = {
        event["type"]: event["event_id"]
        for event in view.json
        if event["state_key"] in {"", ALICE}
    }
    pdu = remote.signed(
        {
            **template,
            "room_id": restricted,
            "content": {
                "membership": "join",
                "join_authorised_via_users_server": ALICE,
            },
            "prev_events": [ids["m.room.join_rules"]],
            "auth_events": [
                ids[event_type]
                for event_type in (
                    "m.room.create",
                    "m.room.power_levels",
                    "m.room.join_rules",
                    "m.room.member",
                )
            ],
        },
    )

    response = await send(remote, one, restricted, "join", pdu)

    assert error_of(response) == (403, "M_FORBIDDEN")
    assert await membership(alice, restricted, EVE) is None


async def test_who_cannot_know_says_so(
    alice: Client, one: Server, remote: Remote
) -> None:
    restricted = await restricted_room(alice, "!elsewhere:third.test")

    response = await make(remote, one, restricted, "join")

    assert error_of(response) == (400, "M_UNABLE_TO_AUTHORISE_JOIN")


async def test_who_may_not_invite_says_so(
    alice: Client, one: Server, remote: Remote, room_id: str
) -> None:
    restricted = await restricted_room(alice, room_id, version="10")
    await remote.join(one, room_id, "eve")
    levels = {"users": {ALICE: 49}, "invite": 50, "state_default": 0}
    changed = await set_state(alice, restricted, "m.room.power_levels", levels)
    assert changed.status == 200

    response = await make(remote, one, restricted, "join")

    assert error_of(response) == (400, "M_UNABLE_TO_GRANT_JOIN")
