"""From method and raw path to a handler."""

from types import ModuleType

import pytest

from tests.http_client import Client
from tests.infra.http.conftest import FakeAuthenticator
from tests.infra.http.routes import Notes
from tremula.infra.http import Api, Auth, Json, Request, Router, endpoint
from tremula.infra.http.application import Application
from tremula.infra.http.router import RouteTable
from tremula.protocol.errors import Unrecognized


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/state/m.room.name", {"event_type": "m.room.name"}),
        ("/state/m.room.name/", {"event_type": "m.room.name"}),
        ("/state/a%2Fb/c", {"event_type": "a/b", "state_key": "c"}),
        ("/state/%2F/%25", {"event_type": "/", "state_key": "%"}),
        ("/state/%E2%98%83/x+y", {"event_type": "☃", "state_key": "x+y"}),
        ("/state/%zz/%", {"event_type": "%zz", "state_key": "%"}),
        ("/%73tate/x", {"event_type": "x"}),
    ],
)
async def test_path_parts_are_decoded_after_the_split(
    client: Client, path: str, parts: dict[str, str]
) -> None:
    assert (await client.get(path)).json == parts


async def test_a_literal_part_wins_over_a_parameter(client: Client) -> None:
    assert (await client.get("/state/special/x")).json == {
        "special": {"state_key": "x"}
    }


async def test_a_literal_part_that_leads_nowhere_is_a_parameter(client: Client) -> None:
    assert (await client.get("/state/special")).json == {"event_type": "special"}


@pytest.mark.parametrize("path", ["/state/%FF", "/state/%ED%A0%80", "/state/a%00"])
async def test_parts_that_are_no_text_are_refused(client: Client, path: str) -> None:
    response = await client.get(path)

    assert (response.status, response.json["errcode"]) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize(
    "path", ["/", "", "/nothing", "/state", "/state/", "/state//x", "/state/a/b/c"]
)
async def test_an_unknown_path_is_unrecognized(client: Client, path: str) -> None:
    response = await client.get(path)

    assert (response.status, response.json["errcode"]) == (404, "M_UNRECOGNIZED")


@pytest.mark.parametrize("method", ["POST", "PATCH", "BREW"])
async def test_another_method_is_unrecognized(client: Client, method: str) -> None:
    response = await client.request(method, "/state/x")

    assert (response.status, response.json["errcode"]) == (405, "M_UNRECOGNIZED")


async def test_head_is_answered_like_get(client: Client) -> None:
    assert (await client.request("HEAD", "/bytes")).status == 200


@pytest.mark.parametrize("path", ["/bytes", "/nothing", "/notes/a/b"])
async def test_options_is_answered_at_once_on_every_path(
    client: Client, path: str
) -> None:
    response = await client.request("OPTIONS", path)

    assert (response.status, response.body) == (204, b"")
    assert response.headers["access-control-allow-origin"] == "*"


async def test_a_listener_serves_its_own_apis_only(application: Application) -> None:
    client_listener = Client(application.for_listener(frozenset({Api.CLIENT})))
    admin_listener = Client(application.for_listener(frozenset({Api.ADMIN})))

    assert (await client_listener.get("/bytes")).status == 200
    assert (await client_listener.get("/admin")).status == 404
    assert (await admin_listener.get("/admin")).status == 200
    assert (await admin_listener.get("/bytes")).json["errcode"] == "M_UNRECOGNIZED"


def test_two_handlers_for_one_path_are_a_bug() -> None:
    module = ModuleType("twice")

    @endpoint("GET", "/a/{x}", auth=Auth.NONE)
    @endpoint("GET", "/a/{y}", auth=Auth.NONE)
    async def get_a(_req: Request, _notes: Notes) -> Json:
        return {}

    get_a.__module__ = "twice"
    vars(module)["get_a"] = get_a
    router = Router()
    router.add(module, Notes())

    with pytest.raises(ValueError, match="two handlers for GET"):
        RouteTable(router.bound())


def test_a_module_without_endpoints_is_a_bug() -> None:
    with pytest.raises(ValueError, match="declares no endpoint"):
        Router().add(ModuleType("empty"), FakeAuthenticator())


def test_what_is_v3_now_is_still_found_as_r0() -> None:
    module = ModuleType("versions")

    @endpoint("GET", "/_matrix/client/v3/notes/{name}", auth=Auth.NONE)
    async def get_note(_req: Request, _notes: Notes) -> Json:
        return {}

    get_note.__module__ = "versions"
    vars(module)["get_note"] = get_note
    router = Router()
    router.add(module, Notes())
    routes = RouteTable(router.bound())

    found, names = routes.find("GET", b"/_matrix/client/r0/notes/a")

    assert (found.operation, names) == ("get_note", {"name": "a"})
    with pytest.raises(Unrecognized):
        routes.find("GET", b"/_matrix/client/r1/notes/a")
