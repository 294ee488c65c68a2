"""AS queryUserById and queryRoomByAlias, by what users do."""

from pathlib import Path
from urllib.parse import quote

from tests.fakes.remote import http_answer
from tests.features.appservice_queries.bridge import Asked, asked
from tests.features.appservices.registrations import namespaces, registration
from tests.features.rooms import create_room
from tests.server import Server
from tremula.protocol.appservices import Registration

ALICE, GHOST = "@alice:test", "@_irc_bob:test"
ALIAS = "#_irc_chat:test"
USER_PATH, ROOM_PATH = (
    f"/_matrix/app/v1/users/{GHOST}",
    f"/_matrix/app/v1/rooms/{ALIAS}",
)


def bridged(bridge: Asked, **changes: object) -> Registration:
    """Its registration."""
    areas = namespaces(users="@_irc_.*", aliases="#_irc_.*")
    return registration(**{"url": bridge.url, "namespaces": areas, **changes})


async def register(server: Server, registered: Registration, user_id: str) -> None:
    """The application service makes a user, and names them."""
    localpart = user_id[1:].partition(":")[0]
    response = await server.appservice_client(registered).post(
        "/v3/register",
        {"type": "m.login.application_service", "username": localpart},
    )
    assert response.status == 200, response.body
    named = await server.appservice_client(registered, user_id).put(
        f"/v3/profile/{user_id}/displayname", {"displayname": "Bob of IRC"}
    )
    assert named.status == 200, named.body


async def invite(server: Server, room_id: str, user_id: str) -> int:
    """The status of Alice's invitation."""
    response = await server.client(ALICE).post(
        f"/v3/rooms/{quote(room_id)}/invite", {"user_id": user_id}
    )
    return response.status


async def join(server: Server, alias: str) -> tuple[int, object]:
    """What Alice is answered who joins a room by alias."""
    response = await server.client(ALICE).post(f"/v3/join/{quote(alias)}", {})
    return response.status, response.json


async def test_an_unknown_user_is_made_to_be_invited(
    server: Server, tmp_path: Path
) -> None:
    """Asked once: then the user is known."""
    bridge = Asked({USER_PATH: {}})
    async with asked(tmp_path, bridge):
        registered = bridged(bridge)
        await server.add_appservice(registered)
        bridge.before = lambda _: register(server, registered, GHOST)
        rooms = [await create_room(server.client(ALICE)) for _ in range(2)]
        for room_id in rooms:
            assert await invite(server, room_id, GHOST) == 200
        third = await create_room(server.client(ALICE), invite=[GHOST])

    assert bridge.paths == [USER_PATH]
    assert bridge.requests[0].headers["authorization"] == "Bearer hs-token-of-irc"
    for room_id in (*rooms, third):
        path = f"/v3/rooms/{quote(room_id)}/state/m.room.member/{GHOST}"
        content = (await server.client(ALICE).get(path)).json
        assert content["membership"] == "invite"
        assert content["displayname"] == "Bob of IRC"


async def test_who_is_unknown_there_too_is_invited_as_anybody(
    server: Server, tmp_path: Path
) -> None:
    bridge = Asked()
    async with asked(tmp_path, bridge):
        await server.add_appservice(bridged(bridge))
        room_id = await create_room(server.client(ALICE))
        assert await invite(server, room_id, GHOST) == 200
        assert await invite(server, room_id, "@nobody:test") == 200

    assert bridge.paths == [USER_PATH]


async def test_an_unknown_alias_is_made_to_be_joined(
    server: Server, tmp_path: Path
) -> None:
    bridge = Asked({ROOM_PATH: {}})
    made: list[str] = []
    async with asked(tmp_path, bridge):
        registered = bridged(bridge)
        await server.add_appservice(registered)
        bot = server.appservice_client(registered)
        await bot.post(
            "/v3/register",
            {"username": "_irc_bot", "type": "m.login.application_service"},
        )

        async def make(_: str) -> None:
            made.append(
                await create_room(
                    bot, preset="public_chat", room_alias_name="_irc_chat"
                )
            )

        bridge.before = make
        status, answer = await join(server, ALIAS)
        again = await server.anonymous.get(f"/v3/directory/room/{quote(ALIAS)}")

    assert (status, answer) == (200, {"room_id": made[0]})
    assert again.json["room_id"] == made[0]
    assert bridge.paths == [ROOM_PATH]


async def test_an_alias_that_nobody_makes_is_not_found(
    server: Server, tmp_path: Path
) -> None:
    """Nor one that only is said to be made."""
    bridge = Asked({ROOM_PATH: {}})
    async with asked(tmp_path, bridge):
        await server.add_appservice(bridged(bridge))
        answers = [
            (await join(server, alias))[0]
            for alias in (ALIAS, "#_irc_other:test", "#else:test")
        ]

    assert answers == [404, 404, 404]
    assert bridge.paths == [ROOM_PATH, ROOM_PATH.replace("chat", "other")]


async def test_old_routes_are_tried(server: Server, tmp_path: Path) -> None:
    """AS "Legacy routes": where the answer is none that knows the route."""
    for body, paths in (
        (b"<h1>Not found</h1>", [USER_PATH, f"/users/{GHOST}"]),
        (b'{"errcode":"M_UNRECOGNIZED"}', [USER_PATH, f"/users/{GHOST}"]),
        (b'{"errcode":"ORG.EXAMPLE.NOT_FOUND"}', [USER_PATH]),
    ):
        bridge = Asked(otherwise=http_answer(404, body))
        async with asked(tmp_path, bridge):
            await server.app.appservices.replace(bridged(bridge))
            room_id = await create_room(server.client(ALICE))
            assert await invite(server, room_id, GHOST) == 200
        assert bridge.paths == paths


async def test_who_cannot_be_asked_keeps_nobody_from_inviting(server: Server) -> None:
    """Neither without a URL, nor where nobody listens."""
    for url in (None, "http://127.0.0.1:9"):
        registered = registration(url=url, namespaces=namespaces(users="@_irc_.*"))
        await server.app.appservices.replace(registered)
        room_id = await create_room(server.client(ALICE))

        assert await invite(server, room_id, GHOST) == 200
