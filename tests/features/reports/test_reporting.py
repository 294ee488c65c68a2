"""Reporting, over HTTP (CS "Reporting Content")."""

from typing import Any

import pytest

from tests.features.account_moderation.administrators import admin
from tests.features.rooms import create_room, error_of, join, send
from tests.server import Server, UserClient

ALICE, BOB = "@alice:test", "@bob:test"
REPORTS = "/_tremula/admin/v1/reports"
NOT_FOUND = (404, "M_NOT_FOUND")


async def reports(root: UserClient, **query: str | int) -> list[dict[str, Any]]:
    """What waits for an administrator, newest first."""
    response = await root.get(REPORTS, query=query)
    assert response.status == 200, response.body
    found: list[dict[str, Any]] = response.json["reports"]
    return found


async def test_an_event_is_reported_to_the_administrators(server: Server) -> None:
    root, alice, bob = await admin(server), server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    event_id = await send(alice, room_id, "buy this")

    path = f"/v3/rooms/{room_id}/report/{event_id}"
    assert (await bob.post(path, {"reason": "spam"})).json == {}

    [report] = await reports(root)
    assert (report["room_id"], report["event_id"]) == (room_id, event_id)
    assert (report["reporter"], report["reason"]) == (BOB, "spam")
    shown = (await root.get(f"{REPORTS}/{report['report_id']}")).json
    assert shown["event"]["content"]["body"] == "buy this"


async def test_a_reason_is_not_needed_for_an_event(server: Server) -> None:
    root, alice = await admin(server), server.client(ALICE)
    room_id = await create_room(alice)
    event_id = await send(alice, room_id)

    assert (
        await alice.post(f"/v3/rooms/{room_id}/report/{event_id}", {})
    ).status == 200

    assert [report["reason"] for report in await reports(root)] == [""]


async def test_whether_an_event_exists_is_told_to_none_outside(server: Server) -> None:
    root, alice, bob = await admin(server), server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="private_chat")
    event_id = await send(alice, room_id)

    answers = [
        await bob.post(f"/v3/rooms/{room}/report/{event}", {})
        for room, event in (
            (room_id, event_id),
            (room_id, "$nothing"),
            ("!nowhere:test", event_id),
        )
    ]

    assert {error_of(answer) for answer in answers} == {NOT_FOUND}
    assert len({answer.body for answer in answers}) == 1
    assert not await reports(root)


async def test_what_a_member_cannot_see_is_not_theirs_to_report(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    visibility = {"history_visibility": "joined"}
    room_id = await create_room(
        alice,
        preset="public_chat",
        initial_state=[{"type": "m.room.history_visibility", "content": visibility}],
    )
    before = await send(alice, room_id)
    await join(bob, room_id)

    refused = await bob.post(f"/v3/rooms/{room_id}/report/{before}", {})

    assert error_of(refused) == NOT_FOUND


async def test_who_has_left_reports_no_event_any_more(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    event_id = await send(alice, room_id)
    await bob.post(f"/v3/rooms/{room_id}/leave", {})

    refused = await bob.post(f"/v3/rooms/{room_id}/report/{event_id}", {})

    assert error_of(refused) == NOT_FOUND


@pytest.mark.parametrize("target", ["rooms/!nowhere:test", f"users/{ALICE}"])
async def test_rooms_and_users_are_reported_whether_they_exist_or_not(
    server: Server, target: str
) -> None:
    root, bob = await admin(server), server.client(BOB)

    answer = await bob.post(f"/v3/{target}/report", {"reason": ""})

    assert (answer.status, answer.json) == (200, {})
    [report] = await reports(root)
    assert target.endswith(report.get("room_id") or report["user_id"])


async def test_a_room_is_reported_by_whoever_is_not_in_it(server: Server) -> None:
    root, alice, bob = await admin(server), server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="private_chat")

    reported = await bob.post(f"/v3/rooms/{room_id}/report", {"reason": "invites"})

    assert reported.status == 200
    assert [report["room_id"] for report in await reports(root)] == [room_id]


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"reason": None}, "M_BAD_JSON"),
        ({"reason": 7}, "M_BAD_JSON"),
    ],
)
async def test_rooms_and_users_need_a_reason(
    server: Server, body: object, errcode: str
) -> None:
    bob = server.client(BOB)

    for path in ("/v3/rooms/!a:test/report", f"/v3/users/{ALICE}/report"):
        assert error_of(await bob.post(path, body)) == (400, errcode)


async def test_what_is_no_id_and_what_is_too_long_is_refused(server: Server) -> None:
    bob = server.client(BOB)

    for path, reason in (
        ("/v3/rooms/nonsense/report", "x"),
        ("/v3/users/nonsense/report", "x"),
        (f"/v3/users/{ALICE}/report", "x" * 10_001),
    ):
        refused = await bob.post(path, {"reason": reason})
        assert error_of(refused) == (400, "M_INVALID_PARAM")


async def test_a_user_has_a_hundred_open_reports_at_most(server: Server) -> None:
    root, bob = await admin(server), server.client(BOB)
    path = f"/v3/users/{ALICE}/report"
    for number in range(100):
        assert (await bob.post(path, {"reason": str(number)})).status == 200

    refused = await bob.post(path, {"reason": "one more"})
    assert error_of(refused) == (429, "M_LIMIT_EXCEEDED")
    [newest] = await reports(root, limit=1)
    resolve = f"{REPORTS}/{newest['report_id']}/resolve"
    assert (await root.post(resolve, {})).status == 200

    assert (await bob.post(path, {"reason": "now"})).status == 200


async def test_administrators_page_through_reports_and_resolve_them(
    server: Server,
) -> None:
    root, bob = await admin(server), server.client(BOB)
    for reason in "abc":
        await bob.post(f"/v3/users/{ALICE}/report", {"reason": reason})

    first = (await root.get(REPORTS, query={"limit": 2})).json
    assert [report["reason"] for report in first["reports"]] == ["c", "b"]
    rest = await reports(root, **{"from": first["next_batch"]})
    assert [report["reason"] for report in rest] == ["a"]
    path = f"{REPORTS}/{rest[0]['report_id']}"
    assert (await root.post(f"{path}/resolve", {"resolution": "warned"})).json == {}

    assert len(await reports(root)) == 2
    assert len(await reports(root, resolved="true")) == 3
    resolved = (await root.get(path)).json
    assert resolved["resolution"] == "warned"
    assert resolved["resolved_ts_ms"] >= resolved["created_ts_ms"]
    assert error_of(await root.post(f"{path}/resolve", {})) == NOT_FOUND


async def test_reports_are_for_administrators(server: Server) -> None:
    root, bob = await admin(server), server.client(BOB)

    for refused in (
        await bob.get(REPORTS),
        await bob.get(f"{REPORTS}/1"),
        await bob.post(f"{REPORTS}/1/resolve", {}),
    ):
        assert error_of(refused) == (403, "M_FORBIDDEN")
    for report_id in ("1", "x", "9" * 40, "-1"):
        assert error_of(await root.get(f"{REPORTS}/{report_id}")) == NOT_FOUND
