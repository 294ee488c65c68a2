"""Locked accounts, over HTTP (CS "Account locking")."""

from tests.features.account_moderation.administrators import admin, refresh_token_of
from tests.features.rooms import create_room, error_of
from tests.server import PASSWORD, Server

BOB = "@bob:test"
LOCK = f"/v1/admin/lock/{BOB}"
LOCKED = (401, "M_USER_LOCKED")


async def test_a_locked_user_may_do_nothing_but_log_out(server: Server) -> None:
    root, bob = await admin(server), server.client(BOB)
    room_id = await create_room(bob)
    assert (await root.get(LOCK)).json == {"locked": False}

    assert (await root.put(LOCK, {"locked": True})).json == {"locked": True}

    assert (await root.get(LOCK)).json == {"locked": True}
    for path in ("/v3/sync", "/v3/account/whoami", "/v3/capabilities"):
        refused = await bob.get(path)
        assert error_of(refused) == LOCKED
        assert refused.json["soft_logout"] is True
    assert error_of(await bob.post(f"/v3/rooms/{room_id}/leave", {})) == LOCKED
    assert (await bob.post("/v3/logout", {})).status == 200


async def test_tokens_outlive_a_lock(server: Server) -> None:
    root, bob = await admin(server), server.client(BOB)
    assert (await bob.get("/v3/account/whoami")).status == 200

    await root.put(LOCK, {"locked": True})
    assert error_of(await bob.get("/v3/account/whoami")) == LOCKED
    await root.put(LOCK, {"locked": False})

    assert (await bob.get("/v3/account/whoami")).status == 200


async def test_no_token_is_to_be_had_for_a_locked_account(server: Server) -> None:
    root, bob = await admin(server), server.client(BOB)
    refresh_token = await refresh_token_of(bob)
    login_token = (
        await bob.post(
            "/v1/login/get_token",
            {
                "auth": {
                    "type": "m.login.password",
                    "identifier": {"type": "m.id.user", "user": BOB},
                    "password": PASSWORD,
                }
            },
        )
    ).json["login_token"]

    await root.put(LOCK, {"locked": True})

    by_password = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": BOB},
        "password": PASSWORD,
    }
    by_token = {"type": "m.login.token", "token": login_token}
    for body in (by_password, by_token):
        assert error_of(await server.anonymous.post("/v3/login", body)) == LOCKED
    refused = await server.anonymous.post(
        "/v3/refresh", {"refresh_token": refresh_token}
    )
    assert error_of(refused) == LOCKED
    wrong = await server.anonymous.post("/v3/login", by_password | {"password": "x"})
    assert error_of(wrong) == (403, "M_FORBIDDEN")


async def test_without_a_token_a_locked_account_is_not_changed(server: Server) -> None:
    root, bob = await admin(server), server.client(BOB)
    await bob.get("/v3/account/whoami")
    await root.put(LOCK, {"locked": True})

    begun = await server.anonymous.post("/v3/account/deactivate", {})
    refused = await server.anonymous.post(
        "/v3/account/deactivate",
        {
            "auth": {
                "session": begun.json["session"],
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": BOB},
                "password": PASSWORD,
            }
        },
    )

    assert error_of(refused) == LOCKED


async def test_an_open_id_token_of_a_locked_user_proves_nothing(
    server: Server,
) -> None:
    root, bob = await admin(server), server.client(BOB)
    issued = await bob.post(f"/v3/user/{BOB}/openid/request_token", {})
    await root.put(LOCK, {"locked": True})

    refused = await server.anonymous.get(
        "/_matrix/federation/v1/openid/userinfo",
        query={"access_token": issued.json["access_token"]},
    )

    assert error_of(refused) == (401, "M_UNKNOWN_TOKEN")
