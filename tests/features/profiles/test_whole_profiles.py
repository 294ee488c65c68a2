"""Whole profiles that are merged or replaced, as bridges do it."""

import pytest

from tests.features.user_data import (
    ALICE,
    GUEST,
    MALLORY,
    UserDataServer,
    create_users,
)
from tremula.features.profiles import storage
from tremula.protocol.profiles import PROFILE_BYTES_MAX

REPLACING = ("/v3/profile", "/unstable/com.beeper.msc4437/profile")
META = {"com.beeper.bridge.remote_id": "1", "com.beeper.bridge.is_bridge_bot": False}


async def whole(server: UserDataServer) -> object:
    """Alice's profile, as anybody sees it."""
    return (await server.anonymous.get(f"/v3/profile/{ALICE}")).json


async def test_a_patch_keeps_what_it_does_not_name(user_data: UserDataServer) -> None:
    await create_users(user_data, [ALICE])
    alice = user_data.client(ALICE)
    await alice.put(f"/v3/profile/{ALICE}/m.tz", {"m.tz": "UTC"})

    patch = {"displayname": "A", "m.tz": None, "org.example.never_set": None, **META}
    response = await alice.request("PATCH", f"/v3/profile/{ALICE}", json=patch)

    assert (response.status, response.json) == (200, {})
    assert await whole(user_data) == {"displayname": "A", **META}


@pytest.mark.parametrize("path", REPLACING)
async def test_a_profile_can_be_replaced(user_data: UserDataServer, path: str) -> None:
    await create_users(user_data, [ALICE])

    response = await user_data.client(ALICE).put(f"{path}/{ALICE}", META)

    assert (response.status, response.json) == (200, {})
    assert await whole(user_data) == META


async def test_rooms_hear_of_names_only(user_data: UserDataServer) -> None:
    await create_users(user_data, [ALICE])
    alice = user_data.client(ALICE)

    await alice.request("PATCH", f"/v3/profile/{ALICE}", json=META)
    assert not await storage.propagations(user_data.database, limit=10)
    await alice.put(f"/v3/profile/{ALICE}", META)

    waiting = await storage.propagations(user_data.database, limit=10)
    assert waiting == [(ALICE, user_data.journal.position)]


async def test_what_changes_nothing_writes_nothing(user_data: UserDataServer) -> None:
    await create_users(user_data, [ALICE])
    before = user_data.journal.position

    same = {"displayname": "alice"}
    await user_data.client(ALICE).request("PATCH", f"/v3/profile/{ALICE}", json=same)
    await user_data.client(ALICE).put(f"/v3/profile/{ALICE}", same)

    assert user_data.journal.position == before


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ([], "M_BAD_JSON"),
        ({"displayname": 1}, "M_BAD_JSON"),
        ({"m.tz": "UTC", "Not A Name": 1}, "M_INVALID_PARAM"),
        ({"m.tz": "UTC", "a" * 256: 1}, "M_KEY_TOO_LARGE"),
        ({"a.a": "x" * 40_000, "a.b": "x" * 40_000}, "M_PROFILE_TOO_LARGE"),
    ],
)
async def test_all_of_it_or_nothing(
    user_data: UserDataServer, method: str, body: object, errcode: str
) -> None:
    await create_users(user_data, [ALICE])

    response = await user_data.client(ALICE).request(
        method, f"/v3/profile/{ALICE}", json=body
    )

    assert (response.status, response.json["errcode"]) == (400, errcode)
    assert await whole(user_data) == {"displayname": "alice"}


async def test_what_a_patch_keeps_counts(user_data: UserDataServer) -> None:
    await create_users(user_data, [ALICE])
    half = "x" * (PROFILE_BYTES_MAX // 2 + 1)
    alice = user_data.client(ALICE)

    first = await alice.request("PATCH", f"/v3/profile/{ALICE}", json={"a.a": half})
    second = await alice.request("PATCH", f"/v3/profile/{ALICE}", json={"a.b": half})

    assert first.status == 200
    assert second.json["errcode"] == "M_PROFILE_TOO_LARGE"


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_nobody_else_may(user_data: UserDataServer, method: str) -> None:
    await create_users(user_data, [ALICE, GUEST])

    other = await user_data.client(MALLORY).request(
        method, f"/v3/profile/{ALICE}", json=META
    )
    guest = await user_data.client(GUEST).request(
        method, f"/v3/profile/{GUEST}", json=META
    )

    assert (other.status, other.json["errcode"]) == (403, "M_FORBIDDEN")
    assert guest.json["errcode"] == "M_GUEST_ACCESS_FORBIDDEN"
