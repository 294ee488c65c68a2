"""Who may use each operation, and how often, as the specification has it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.openapi import needs_spec
from tests.conformance.operations import route
from tests.server import Server
from tremula.infra.http import Auth
from tremula.infra.http.endpoint import Endpoint

# Everyone may ask for it; guests too, who come with a token.
_OPEN_TO_ALL = {"getVersions"}

# Limited but for application services, which the endpoint has to find out first.
_LIMITED_WITHIN = {"login", "register"}


@pytest.fixture
def postgres_or_sqlite() -> None:
    """SQLite alone: access does not depend on the database."""


def _operations(server: Server) -> Iterator[tuple[dict[str, Any], Endpoint]]:
    """What the specification and we say of each operation that is there."""
    spec = json.loads((Path(os.environ["MATRIX_SPEC"]) / "endpoints.json").read_bytes())
    ours = {
        route(bound.endpoint.method, bound.endpoint.path): bound.endpoint
        for bound in server.app.application.router.bound()
    }
    for each in spec["endpoints"]:
        endpoint = ours.get(route(each["method"], each["path"]))
        if each["api"] == "client-server" and endpoint is not None:
            yield each, endpoint


@needs_spec
async def test_guests_use_what_is_on_their_list_and_nothing_else(
    server: Server,
) -> None:
    wrong = [
        each["operation_id"]
        for each, endpoint in _operations(server)
        if each["operation_id"] not in _OPEN_TO_ALL
        and endpoint.auth.takes_token
        and endpoint.guest is (each["guest"] == "no")
    ]

    assert not wrong


@needs_spec
async def test_what_needs_a_token_needs_one_here(server: Server) -> None:
    expected: dict[str, Auth[Any]] = {
        "none": Auth.NONE,
        "accessToken": Auth.USER,
        "optional (accessToken)": Auth.OPTIONAL,
        "as_token": Auth.USER,
    }
    wrong = [
        each["operation_id"]
        for each, endpoint in _operations(server)
        if each["operation_id"] not in _OPEN_TO_ALL
        and endpoint.auth is not expected[each["auth"]]
    ]

    assert not wrong


@needs_spec
async def test_what_is_rate_limited_is_limited_here(server: Server) -> None:
    wrong = [
        each["operation_id"]
        for each, endpoint in _operations(server)
        if each["rate_limited"]
        and endpoint.limit is None
        and each["operation_id"] not in _LIMITED_WITHIN
    ]

    assert not wrong
