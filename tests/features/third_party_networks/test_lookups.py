"""Third-party lookups (CS module "Third-party Networks"), over HTTP."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.remote import http_answer
from tests.features.appservice_queries.bridge import Asked, asked
from tests.features.appservices.registrations import namespaces, registration
from tests.server import Server, UserClient

PROTOCOL = "/_matrix/app/v1/thirdparty/protocol/irc"
LOCATION = "/_matrix/app/v1/thirdparty/location"
USER = "/_matrix/app/v1/thirdparty/user"
LIBERA = {"desc": "Libera", "network_id": "libera", "fields": {"network": "libera"}}
OFTC = {"desc": "OFTC", "network_id": "oftc", "fields": {}, "icon": "mxc://a/b"}
IRC = {
    "user_fields": ["network", "nickname"],
    "location_fields": ["network", "channel"],
    "icon": "mxc://example.org/irc",
    "field_types": {"network": {"regexp": ".*", "placeholder": "irc.example.org"}},
}


def place(channel: str) -> dict[str, Any]:
    """A portal room."""
    alias = f"#_irc_{channel}:test"
    return {"alias": alias, "protocol": "irc", "fields": {"channel": f"#{channel}"}}


def person(nickname: str) -> dict[str, Any]:
    """Somebody of IRC."""
    user_id = f"@_irc_{nickname}:test"
    return {"userid": user_id, "protocol": "irc", "fields": {"nickname": nickname}}


class Bridges:
    """Two application services that have the same protocol."""

    def __init__(self, first: Asked, second: Asked) -> None:
        self.first = first
        self.second = second


@pytest.fixture
async def bridges(server: Server, tmp_path: Path) -> AsyncIterator[Bridges]:
    both = Bridges(Asked(), Asked())
    async with AsyncExitStack() as stack:
        for name, bridge in (("irc", both.first), ("irc2", both.second)):
            await stack.enter_async_context(asked(tmp_path, bridge))
            areas = namespaces(users=f"@_{name}_.*", aliases=f"#_{name}_.*")
            await server.add_appservice(
                registration(name, url=bridge.url, protocols=["irc"], namespaces=areas)
            )
        yield both


@pytest.fixture
def alice(server: Server) -> UserClient:
    return server.client("@alice:test")


async def test_a_protocol_has_the_networks_of_all(
    server: Server, bridges: Bridges, alice: UserClient
) -> None:
    bridges.first.answers = {PROTOCOL: {**IRC, "instances": [LIBERA]}}
    bridges.second.answers = {PROTOCOL: {**IRC, "icon": "x", "instances": [OFTC]}}
    expected = {
        **IRC,
        "instances": [
            {**LIBERA, "instance_id": "irc|libera"},
            {**OFTC, "instance_id": "irc2|oftc"},
        ],
    }

    everything = await alice.get("/v3/thirdparty/protocols")
    one = await alice.get("/v3/thirdparty/protocol/irc")
    none = await alice.get("/v3/thirdparty/protocol/xmpp")

    assert (everything.status, everything.json) == (200, {"irc": expected})
    assert (one.status, one.json) == (200, expected)
    assert (none.status, none.json["errcode"]) == (404, "M_NOT_FOUND")
    # What a process was told a moment ago it knows.
    asked_for = [PROTOCOL] * len(server.apps)
    assert bridges.first.paths == bridges.second.paths == asked_for


@pytest.mark.parametrize(
    "malformed",
    [
        [],
        {},
        {**IRC, "icon": None, "instances": []},
        {**IRC, "user_fields": [1], "instances": []},
        {**IRC, "field_types": {"network": {"regexp": 1}}, "instances": []},
        {**IRC, "field_types": [], "instances": []},
    ],
)
async def test_who_answers_nonsense_is_left_out(
    bridges: Bridges, alice: UserClient, malformed: object
) -> None:
    bridges.first.answers = {PROTOCOL: malformed}
    nonsense = [1, {"desc": "x"}, {**LIBERA, "network_id": 1}, {**OFTC, "icon": 1}]
    bridges.second.answers = {PROTOCOL: {**IRC, "instances": nonsense}}

    response = await alice.get("/v3/thirdparty/protocol/irc")

    kept = {key: OFTC[key] for key in ("desc", "network_id", "fields")}
    assert response.json["icon"] == IRC["icon"]
    assert response.json["instances"] == [{**kept, "instance_id": "irc2|oftc"}]


async def test_places_are_looked_for_everywhere(
    bridges: Bridges, alice: UserClient
) -> None:
    """By the fields of the client, of which its token is none."""
    bridges.first.answers = {f"{LOCATION}/irc": [place("a"), place("b")]}
    bridges.second.answers = {f"{LOCATION}/irc": [place("c"), {"alias": "#x:y"}, 1]}
    query = {"channel": "#a b&c", "network": ["x", "y"]}
    query["access_token"] = query["user_id"] = "secret"

    response = await alice.get("/v3/thirdparty/location/irc", query=query)

    assert response.status == 200
    assert response.json == [place("a"), place("b"), place("c")]
    asked_for = f"{LOCATION}/irc?channel=#a b&c&network=x&network=y"
    assert bridges.first.paths == bridges.second.paths == [asked_for]
    assert "channel=%23a%20b%26c&" in bridges.first.requests[0].uri


async def test_people_are_looked_for_everywhere(
    bridges: Bridges, alice: UserClient
) -> None:
    """A failure of one is none of the others."""
    bridges.first.otherwise = http_answer(500, b"oh")
    bridges.second.answers = {f"{USER}/irc": [person("bob")]}

    found = await alice.get("/v3/thirdparty/user/irc?nickname=bob")
    nobody = await alice.get("/v3/thirdparty/user/xmpp?nickname=bob")
    bridges.second.answers = {f"{USER}/irc": []}
    none = await alice.get("/v3/thirdparty/user/irc?nickname=carol")

    assert (found.status, found.json) == (200, [person("bob")])
    for missing in (nobody, none):
        assert (missing.status, missing.json["errcode"]) == (404, "M_NOT_FOUND")


async def test_aliases_and_users_are_asked_of_who_has_them(
    bridges: Bridges, alice: UserClient
) -> None:
    bridges.first.answers = {LOCATION: [place("a")], USER: [person("bob")]}

    location = await alice.get("/v3/thirdparty/location?alias=%23_irc_a:test")
    user = await alice.get("/v3/thirdparty/user?userid=@_irc_bob:test")
    missing = [
        await alice.get("/v3/thirdparty/location?alias=%23other:test"),
        await alice.get("/v3/thirdparty/user?userid=@alice:test"),
    ]

    assert (location.status, location.json) == (200, [place("a")])
    assert (user.status, user.json) == (200, [person("bob")])
    assert bridges.first.paths == [
        f"{LOCATION}?alias=#_irc_a:test",
        f"{USER}?userid=@_irc_bob:test",
    ]
    assert bridges.second.paths == []
    assert [each.status for each in missing] == [404, 404]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("location", (400, "M_MISSING_PARAM")),
        ("user", (400, "M_MISSING_PARAM")),
        ("location?alias=x", (400, "M_INVALID_PARAM")),
        ("user?userid=x", (400, "M_INVALID_PARAM")),
        (
            "user/irc?" + "&".join(f"f{n}=x" for n in range(51)),
            (400, "M_INVALID_PARAM"),
        ),
    ],
)
async def test_malformed_requests_ask_nobody(
    bridges: Bridges, alice: UserClient, path: str, expected: tuple[int, str]
) -> None:
    response = await alice.get(f"/v3/thirdparty/{path}")

    assert (response.status, response.json["errcode"]) == expected
    assert bridges.first.paths == []


async def test_without_bridges_there_are_no_protocols(alice: UserClient) -> None:
    response = await alice.get("/v3/thirdparty/protocols")

    assert (response.status, response.json) == (200, {})
