"""CS "Server-side key backups": versions, over HTTP."""

import pytest

from tests.features.key_backup.backups import (
    ALGORITHM,
    ALICE,
    AUTH_DATA,
    BOB,
    ROOM,
    keys,
    new_backup,
    put_keys,
    rooms,
    session,
)
from tests.server import PASSWORD, Server
from tremula.features.key_backup.service import VERSIONS_MAX
from tremula.protocol.key_backup import AUTH_DATA_BYTES_MAX


async def test_the_newest_version_is_shown_without_its_number(server: Server) -> None:
    alice = server.client(ALICE)
    first = await new_backup(alice)
    second = await new_backup(alice, public_key="second")

    newest = await alice.get("/v3/room_keys/version")
    older = await alice.get(f"/v3/room_keys/version/{first}")

    assert newest.json == {
        "algorithm": ALGORITHM,
        "auth_data": AUTH_DATA | {"public_key": "second"},
        "count": 0,
        "etag": newest.json["etag"],
        "version": second,
    }
    assert (older.json["version"], older.json["auth_data"]) == (first, AUTH_DATA)


async def test_a_backup_is_its_owners_alone(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    version = await new_backup(alice)
    await put_keys(alice, version, rooms(s1=session()))

    answers = [
        await bob.get("/v3/room_keys/version"),
        await bob.get(f"/v3/room_keys/version/{version}"),
        await bob.get("/v3/room_keys/keys", query={"version": version}),
        await bob.delete(f"/v3/room_keys/version/{version}"),
    ]

    assert [each.status for each in answers] == [404] * 4
    assert list(await keys(alice, version)) == [ROOM]


@pytest.mark.parametrize(
    "version", ["0", "2", "-1", "x", "9" * 30, "²", "%F0%9F%92%A9"]
)
async def test_a_version_that_never_was_is_not_found(
    server: Server, version: str
) -> None:
    alice = server.client(ALICE)
    await new_backup(alice)
    path = f"/v3/room_keys/version/{version}"
    body = {"algorithm": ALGORITHM, "auth_data": AUTH_DATA}

    answers = [
        await alice.get(path),
        await alice.put(path, body),
        await alice.delete(path),
        await alice.get(f"/v3/room_keys/keys?version={version}"),
        await alice.put(f"/v3/room_keys/keys?version={version}", rooms()),
        await alice.delete(f"/v3/room_keys/keys?version={version}"),
    ]

    assert [(each.status, each.json["errcode"]) for each in answers] == [
        (404, "M_NOT_FOUND")
    ] * 6


async def test_auth_data_can_be_replaced(server: Server) -> None:
    alice = server.client(ALICE)
    version = await new_backup(alice)
    path = f"/v3/room_keys/version/{version}"
    auth_data = AUTH_DATA | {"signatures": {}}

    updated = await alice.put(
        path, {"algorithm": ALGORITHM, "auth_data": auth_data, "version": version}
    )

    assert (updated.status, updated.json) == (200, {})
    assert (await alice.get(path)).json["auth_data"] == auth_data


async def test_the_algorithm_and_the_version_cannot_be_changed(server: Server) -> None:
    alice = server.client(ALICE)
    version = await new_backup(alice)
    path = f"/v3/room_keys/version/{version}"
    good = {"algorithm": ALGORITHM, "auth_data": {"public_key": "x"}}

    for bad in ({"algorithm": "org.example.other"}, {"version": "2"}):
        refused = await alice.put(path, good | bad)
        assert (refused.status, refused.json["errcode"]) == (400, "M_INVALID_PARAM")

    assert (await alice.get(path)).json["auth_data"] == AUTH_DATA


@pytest.mark.parametrize(
    ("auth_data", "errcode"),
    [
        ({}, "M_BAD_JSON"),
        ({"public_key": 1}, "M_BAD_JSON"),
        ({"public_key": "x", "signatures": []}, "M_BAD_JSON"),
        ("opaque", "M_BAD_JSON"),
        ({"public_key": "x" * AUTH_DATA_BYTES_MAX}, "M_TOO_LARGE"),
    ],
)
async def test_malformed_auth_data_is_refused(
    server: Server, auth_data: object, errcode: str
) -> None:
    alice = server.client(ALICE)
    version = await new_backup(alice)
    body = {"algorithm": ALGORITHM, "auth_data": auth_data}

    created = await alice.post("/v3/room_keys/version", body)
    updated = await alice.put(f"/v3/room_keys/version/{version}", body)

    assert [created.json["errcode"], updated.json["errcode"]] == [errcode] * 2
    assert (await alice.get("/v3/room_keys/version")).json["auth_data"] == AUTH_DATA


@pytest.mark.parametrize("algorithm", ["", "x" * 256])
async def test_an_impossible_algorithm_is_refused(
    server: Server, algorithm: str
) -> None:
    refused = await server.client(ALICE).post(
        "/v3/room_keys/version", {"algorithm": algorithm, "auth_data": AUTH_DATA}
    )

    assert (refused.status, refused.json["errcode"]) == (400, "M_INVALID_PARAM")


async def test_a_deleted_version_is_gone_with_its_keys(server: Server) -> None:
    """ "If the backup was previously deleted, the call should succeed"."""
    alice = server.client(ALICE)
    first, second = await new_backup(alice), await new_backup(alice)
    await put_keys(alice, second, rooms(s1=session()))
    path = f"/v3/room_keys/version/{second}"

    deleted = [await alice.delete(path), await alice.delete(path)]

    assert [each.status for each in deleted] == [200, 200]
    gone = [
        await alice.get(path),
        await alice.get("/v3/room_keys/keys", query={"version": second}),
    ]
    assert [each.status for each in gone] == [404, 404]
    newest = await alice.get("/v3/room_keys/version")
    assert newest.json["version"] == first
    assert await server.db.all("SELECT session_id FROM key_backup_sessions") == []


async def test_a_number_is_never_given_twice(server: Server) -> None:
    alice = server.client(ALICE)
    versions = []
    for _ in range(3):
        versions.append(await new_backup(alice))
        await alice.delete(f"/v3/room_keys/version/{versions[-1]}")

    assert len(set(versions)) == 3
    for version in versions:
        again = await alice.delete(f"/v3/room_keys/version/{version}")
        assert again.status == 200
    assert (await alice.get("/v3/room_keys/version")).status == 404
    assert len(await server.db.all("SELECT version FROM key_backup_versions")) == 1


async def test_there_are_so_many_versions_at_most(server: Server) -> None:
    alice = server.client(ALICE)
    versions = [await new_backup(alice) for _ in range(VERSIONS_MAX)]
    body = {"algorithm": ALGORITHM, "auth_data": AUTH_DATA}

    refused = await alice.post("/v3/room_keys/version", body)

    assert (refused.status, refused.json["errcode"]) == (400, "M_INVALID_PARAM")
    await alice.delete(f"/v3/room_keys/version/{versions[0]}")
    assert (await alice.post("/v3/room_keys/version", body)).status == 200


async def test_an_erased_user_leaves_no_backup(server: Server) -> None:
    alice = server.client(ALICE)
    version = await new_backup(alice)
    await put_keys(alice, version, rooms(s1=session()))
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": ALICE},
        "password": PASSWORD,
    }

    await alice.post("/v3/account/deactivate", {"erase": True, "auth": auth})

    assert await server.db.all("SELECT version FROM key_backup_versions") == []
    assert await server.db.all("SELECT version FROM key_backup_sessions") == []
