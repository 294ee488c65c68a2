"""Events and states that other servers ask for: who gets what."""

from collections.abc import Mapping
from urllib.parse import quote

import pytest

from tests.conftest import DatabaseSource
from tests.features.rooms import create_room, error_of, send, set_state
from tests.federation.network import Federation
from tests.federation.remote import Pdu, Remote, add_remote
from tests.http_client import HttpResponse
from tests.server import Server
from tremula.infra.federation.client import Query
from tremula.protocol.hashes import event_id_of
from tremula.protocol.redaction import redact
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.protocol.signing import sign_event

ALICE = "@alice:a.test"
VERSION = ROOM_VERSIONS["11"]


@pytest.fixture
async def server(database_source: DatabaseSource, federation: Federation) -> Server:
    return await federation.start("a.test", database_source)


@pytest.fixture
def remote(federation: Federation) -> Remote:
    return add_remote(federation, "far.test")


async def make_room(server: Server, **body: object) -> str:
    preset = {"preset": "public_chat", "room_version": VERSION.id}
    return await create_room(server.client(ALICE), **(preset | body))


def ids(pdus: list[Pdu]) -> list[str]:
    return [event_id_of(VERSION, pdu) for pdu in pdus]


async def event(remote: Remote, server: Server, event_id: str) -> HttpResponse:
    return await remote.ask(server, f"/v1/event/{quote(event_id)}")


async def change(server: Server, room_id: str, event_type: str, content: Pdu) -> str:
    response = await set_state(server.client(ALICE), room_id, event_type, content)
    event_id: str = response.json["event_id"]
    return event_id


async def backfill(
    remote: Remote, server: Server, room_id: str, *starts: str, limit: int = 50
) -> list[Pdu]:
    query = {"v": list(starts), "limit": str(limit)}
    answer = await remote.ask(server, f"/v1/backfill/{quote(room_id)}", query)
    assert answer.status == 200, answer.body
    assert answer.json["origin"] == "a.test"
    pdus: list[Pdu] = answer.json["pdus"]
    return pdus


async def missing(
    remote: Remote, server: Server, room_id: str, **body: object
) -> HttpResponse:
    return await remote.ask(
        server,
        f"/v1/get_missing_events/{quote(room_id)}",
        method="POST",
        content={"earliest_events": [], "latest_events": [], **body},
    )


def paths(room_id: str, event_id: str) -> dict[str, Mapping[str, str]]:
    """What a server in the room may ask for with ``GET``, with the parameters."""
    room, event = quote(room_id), quote(event_id)
    return {
        f"/v1/event/{event}": {},
        f"/v1/state/{room}": {"event_id": event_id},
        f"/v1/state_ids/{room}": {"event_id": event_id},
        f"/v1/event_auth/{room}/{event}": {},
        f"/v1/backfill/{room}": {"v": event_id, "limit": "10"},
        f"/v1/timestamp_to_event/{room}": {"ts": "1", "dir": "f"},
    }


async def test_a_server_in_the_room_is_told_what_it_asks_for(
    server: Server, remote: Remote
) -> None:
    room_id = await make_room(server)
    first = await send(server.client(ALICE), room_id, "first")
    join = await remote.join(server, room_id)
    last = await send(server.client(ALICE), room_id, "last")
    room = quote(room_id)

    [pdu] = (await event(remote, server, first)).json["pdus"]
    assert ids([pdu]) == [first]
    assert pdu["content"]["body"] == "first"
    newest = await backfill(remote, server, room_id, last, limit=3)
    assert ids(newest) == [last, *ids([join]), first]
    body = {"latest_events": [last], "earliest_events": [first]}
    between = await missing(remote, server, room_id, **body)
    assert ids(between.json["events"]) == ids([join])
    path = f"/v1/timestamp_to_event/{room}"
    found = await remote.ask(server, path, {"ts": str(2**50), "dir": "b"})
    assert found.json["event_id"] == last


async def test_the_state_before_an_event_comes_with_its_auth_chain(
    server: Server, remote: Remote
) -> None:
    room_id = await make_room(server)
    before = await change(server, room_id, "m.room.topic", {"topic": "x"})
    join = await remote.join(server, room_id)
    [joined] = ids([join])
    await change(server, room_id, "m.room.topic", {"topic": "y"})
    room, query = quote(room_id), {"event_id": joined}

    state = (await remote.ask(server, f"/v1/state/{room}", query)).json
    state_ids = (await remote.ask(server, f"/v1/state_ids/{room}", query)).json

    assert set(ids(state["pdus"])) == set(state_ids["pdu_ids"])
    assert set(ids(state["auth_chain"])) == set(state_ids["auth_chain_ids"])
    assert before in state_ids["pdu_ids"]
    assert joined not in state_ids["pdu_ids"]
    cited = {each for pdu in state["pdus"] for each in pdu["auth_events"]}
    assert cited <= set(state_ids["auth_chain_ids"])
    auth = await remote.ask(server, f"/v1/event_auth/{room}/{quote(joined)}")
    assert set(join["auth_events"]) <= set(ids(auth.json["auth_chain"]))


async def test_cve_2022_39335_a_server_outside_the_room_is_told_nothing(
    server: Server, remote: Remote
) -> None:
    room_id = await make_room(server)
    event_id = await send(server.client(ALICE), room_id)

    for path, query in paths(room_id, event_id).items():
        assert error_of(await remote.ask(server, path, query)) == (403, "M_FORBIDDEN")
    refused = await missing(remote, server, room_id, latest_events=[event_id])
    assert error_of(refused) == (403, "M_FORBIDDEN")


async def test_a_server_that_has_left_is_told_nothing(
    server: Server, remote: Remote
) -> None:
    room_id = await make_room(server)
    await remote.join(server, room_id)
    kicked = f"/v3/rooms/{room_id}/kick"
    await server.client(ALICE).post(kicked, {"user_id": "@far:far.test"})
    event_id = await send(server.client(ALICE), room_id)

    for path, query in paths(room_id, event_id).items():
        assert error_of(await remote.ask(server, path, query)) == (403, "M_FORBIDDEN")


async def test_a_server_that_the_acl_denies_is_told_nothing(
    server: Server, remote: Remote
) -> None:
    room_id = await make_room(server)
    await remote.join(server, room_id)
    acl = {"allow": ["*"], "deny": ["FAR.test"]}
    event_id = await change(server, room_id, "m.room.server_acl", acl)

    for path, query in paths(room_id, event_id).items():
        assert error_of(await remote.ask(server, path, query)) == (403, "M_FORBIDDEN")
    refused = await missing(remote, server, room_id, latest_events=[event_id])
    assert error_of(refused) == (403, "M_FORBIDDEN")


async def test_events_of_another_room_are_not_had_by_the_url_of_one(
    server: Server, remote: Remote
) -> None:
    mine, other = await make_room(server), await make_room(server)
    await remote.join(server, mine)
    event_id = await send(server.client(ALICE), other)

    assert error_of(await event(remote, server, event_id)) == (403, "M_FORBIDDEN")
    for endpoint in ("state", "state_ids"):
        path = f"/v1/{endpoint}/{quote(mine)}"
        refused = await remote.ask(server, path, {"event_id": event_id})
        assert error_of(refused) == (404, "M_NOT_FOUND")
    path = f"/v1/event_auth/{quote(mine)}/{quote(event_id)}"
    assert error_of(await remote.ask(server, path)) == (404, "M_NOT_FOUND")
    assert await backfill(remote, server, mine, event_id) == []
    between = await missing(remote, server, mine, latest_events=[event_id])
    assert between.json == {"events": []}


async def test_messages_from_before_a_server_came_are_redacted_if_so_set(
    server: Server, remote: Remote
) -> None:
    alice, room_id = server.client(ALICE), await make_room(server)
    setting = {"history_visibility": "joined"}
    await set_state(alice, room_id, "m.room.history_visibility", setting)
    topic = await change(server, room_id, "m.room.topic", {"topic": "secret"})
    hidden = await send(alice, room_id, "hidden")
    await remote.join(server, room_id)
    shown = await send(alice, room_id, "shown")

    pdus = {
        event_id: pdu
        for pdu in await backfill(remote, server, room_id, shown)
        for event_id in ids([pdu])
    }

    assert pdus[shown]["content"]["body"] == "shown"
    assert pdus[hidden]["content"] == {}
    assert pdus[hidden] == redact(VERSION, pdus[hidden])
    # State is the room's, and asked for as such.
    assert pdus[topic]["content"] == {"topic": "secret"}
    assert (await event(remote, server, hidden)).json["pdus"] == [pdus[hidden]]
    between = await missing(remote, server, room_id, latest_events=[shown])
    assert pdus[hidden] in between.json["events"]
    path, query = f"/v1/timestamp_to_event/{quote(room_id)}", {"ts": "1", "dir": "f"}
    found = await remote.ask(server, path, query)
    assert found.json["event_id"] != hidden


async def test_what_was_said_while_a_server_was_in_the_room_stays_visible_to_it(
    server: Server, remote: Remote
) -> None:
    alice, room_id = server.client(ALICE), await make_room(server)
    setting = {"history_visibility": "invited"}
    await set_state(alice, room_id, "m.room.history_visibility", setting)
    before = await send(alice, room_id)
    remote.answers["/v2/invite/"] = remote.accept_invite
    await alice.post(f"/v3/rooms/{room_id}/invite", {"user_id": "@x:far.test"})
    invited = await send(alice, room_id)
    await alice.post(f"/v3/rooms/{room_id}/kick", {"user_id": "@x:far.test"})
    between = await send(alice, room_id)
    await remote.join(server, room_id)
    last = await send(alice, room_id)

    pdus = await backfill(remote, server, room_id, last)

    bodies = dict(zip(ids(pdus), (pdu["content"] for pdu in pdus), strict=True))
    assert [bool(bodies[each]) for each in (before, invited, between, last)] == [
        False,
        True,
        False,
        True,
    ]


async def test_cve_2026_45076_rejected_events_do_not_end_the_past(
    server: Server, remote: Remote
) -> None:
    """They are gone over: what came before them is told."""
    room_id = await make_room(server)
    first = await send(server.client(ALICE), room_id)
    join = await remote.join(server, room_id)
    [joined] = ids([join])
    state = await remote.ask(
        server, f"/v1/state/{quote(room_id)}", {"event_id": joined}
    )
    auth = {
        pdu["type"]: event_id_of(VERSION, pdu)
        for pdu in state.json["pdus"]
        if pdu["type"] in {"m.room.create", "m.room.power_levels"}
    }
    auth_events = [*auth.values(), joined]
    bad = said(remote, join, [joined], auth_events, type="m.room.name", state_key="")
    good = said(remote, bad, ids([bad]), auth_events)

    results = await remote.send(server, bad, good)

    assert "error" in results[ids([bad])[0]]
    assert results[ids([good])[0]] == {}
    pdus = await backfill(remote, server, room_id, *ids([good]), limit=3)
    assert ids(pdus) == [*ids([good]), joined, first]


def said(
    remote: Remote, after: Pdu, prev: list[str], auth: list[str], **fields: object
) -> Pdu:
    unsigned = {
        "auth_events": auth,
        "content": {"name": "x"},
        "depth": after["depth"] + 1,
        "origin_server_ts": 1,
        "prev_events": prev,
        "room_id": after["room_id"],
        "sender": after["sender"],
        "type": "m.room.message",
    }
    return sign_event(VERSION, unsigned | fields, remote.name, remote.key)


async def test_pages_are_bounded(server: Server, remote: Remote) -> None:
    alice, room_id = server.client(ALICE), await make_room(server)
    await remote.join(server, room_id)
    *_, last = [await send(alice, room_id) for _ in range(105)]

    assert len(await backfill(remote, server, room_id, last, limit=10**6)) == 100
    some = await missing(remote, server, room_id, latest_events=[last], limit=10**6)
    assert len(some.json["events"]) == 100
    few = await missing(remote, server, room_id, latest_events=[last])
    assert len(few.json["events"]) == 10


@pytest.mark.parametrize(
    "body",
    [
        {"latest_events": "x"},
        {"latest_events": [7]},
        {"latest_events": ["$x:a"] * 41},
        {"earliest_events": ["$x:a"] * 501},
        {"limit": "10"},
        {"limit": -1},
        {"min_depth": True},
    ],
)
async def test_a_malformed_question_is_refused(
    server: Server, remote: Remote, body: dict[str, object]
) -> None:
    room_id = await make_room(server)
    await remote.join(server, room_id)

    assert (await missing(remote, server, room_id, **body)).status == 400


@pytest.mark.parametrize(
    ("endpoint", "query", "errcode"),
    [
        ("backfill", {"v": "$x:a"}, "M_MISSING_PARAM"),
        ("backfill", {"limit": "1"}, "M_MISSING_PARAM"),
        ("backfill", {"v": "$x:a", "limit": "0"}, "M_INVALID_PARAM"),
        ("backfill", {"v": ["$x:a"] * 41, "limit": "1"}, "M_INVALID_PARAM"),
        ("state", {}, "M_MISSING_PARAM"),
        ("state_ids", {}, "M_MISSING_PARAM"),
        ("timestamp_to_event", {"ts": "1"}, "M_MISSING_PARAM"),
        ("timestamp_to_event", {"dir": "f"}, "M_MISSING_PARAM"),
        ("timestamp_to_event", {"ts": "1", "dir": "x"}, "M_INVALID_PARAM"),
    ],
)
async def test_a_question_with_bad_parameters_is_refused(
    server: Server, remote: Remote, endpoint: str, query: Query, errcode: str
) -> None:
    path = f"/v1/{endpoint}/%21room%3Aa.test"

    assert error_of(await remote.ask(server, path, query)) == (400, errcode)
