"""Every operation of the client-server API is done, or listed as not done yet."""

import json
import os
import re
from pathlib import Path
from typing import Final

import pytest

from tests.conformance.attacker import ERROR_CODES
from tests.conformance.not_yet_page import PAGE, not_yet_page
from tests.conformance.openapi import error_codes, needs_spec
from tests.conformance.operations import (
    NOT_YET,
    NOT_YET_COUNT,
    SHARED,
    Operation,
    all_operations,
    done_operations,
    route,
)
from tests.server import Server

OPERATIONS: Final = all_operations()

_OF_A_PROPOSAL: Final = re.compile(
    r"/_matrix/client/unstable/"
    r"(?:[a-z.]+[._]msc[0-9]+[./]|im\.nheko\.summary/|com\.beeper\.|fi\.mau\.)"
)

# MSC4140 under its stable paths, which no release has yet.
_SINCE_ACCEPTED: Final = re.compile(
    r"/_matrix/client/(?:v1/delayed_events|v3/rooms/\{\}/delayed_event)(?:/|$)"
)

_NO_OPERATIONS: Final = {
    "/.well-known/matrix/server",  # of the server-server API
    "/_matrix/client/v3/auth/{}/fallback/web",  # for people: CS "Fallback"
}

# What bridges ask for beside it, on paths that the specification has other methods of.
_OF_BRIDGES: Final = {
    ("PATCH", "/_matrix/client/v3/profile/{}"),
    ("PUT", "/_matrix/client/v3/profile/{}"),
}


@pytest.fixture
def postgres_or_sqlite() -> None:
    """SQLite alone: which operations there are does not depend on the database."""


def handlers(server: Server) -> dict[tuple[str, str], str]:
    """The names of the server's handlers by what they answer."""
    return {
        route(bound.endpoint.method, bound.endpoint.path): bound.operation
        for bound in server.app.application.router.bound()
    }


@needs_spec
def test_the_operations_are_those_of_the_specification() -> None:
    spec = json.loads((Path(os.environ["MATRIX_SPEC"]) / "endpoints.json").read_bytes())

    assert [
        Operation(each["method"], each["path"], each["operation_id"])
        for each in spec["endpoints"]
        if each["api"] == "client-server"
    ] == OPERATIONS


@needs_spec
def test_the_error_codes_are_those_of_the_specification() -> None:
    # Of sliding sync, which clients use before it is in the specification (MSC4186).
    assert error_codes() | {"M_UNKNOWN_POS"} >= ERROR_CODES


def test_no_operation_is_unknown_to_the_specification() -> None:
    assert NOT_YET.keys() <= {each.operation_id for each in OPERATIONS}


def test_the_list_of_what_is_missing_only_shrinks() -> None:
    assert len(NOT_YET) == NOT_YET_COUNT, "lower NOT_YET_COUNT with every one done"


async def test_an_operation_that_is_done_has_a_handler_of_its_name(
    server: Server,
) -> None:
    bound = handlers(server)
    wrong = [
        (each, bound.get(each.route))
        for each in done_operations()
        if each.operation_id not in SHARED
        and bound.get(each.route) != each.handler_name
    ]

    assert not wrong


async def test_an_operation_that_is_missing_has_no_handler(server: Server) -> None:
    names = set(handlers(server).values())
    there = {
        each.operation_id
        for each in OPERATIONS
        if each.operation_id in NOT_YET and each.handler_name in names
    }

    assert not there, "done: take them off the list"


async def test_no_handler_of_the_client_api_is_unknown_to_the_specification(
    server: Server,
) -> None:
    expected = {
        each.handler_name
        for each in done_operations()
        if each.operation_id not in SHARED
    }
    ours = {
        name
        for (method, path), name in handlers(server).items()
        if (method, path) not in _OF_BRIDGES
        and path.startswith(("/_matrix/client/", "/_matrix/media/", "/.well-known/"))
        and path not in _NO_OPERATIONS
        and not _OF_A_PROPOSAL.match(path)
        and not _SINCE_ACCEPTED.match(path)
    }

    assert ours == expected


async def test_a_missing_operation_is_unrecognized(server: Server) -> None:
    """With 405 where other methods stand on the same path."""
    alice = server.client("@alice:test")
    paths = {path for _, path in handlers(server)}
    missing = [each for each in OPERATIONS if each.operation_id in NOT_YET]

    for operation in missing:
        response = await alice.request(
            operation.method, operation.path_with("x"), json={}
        )
        _, path = operation.route
        status = 405 if path in paths else 404
        answer = (response.status, response.json["errcode"])
        assert answer == (status, "M_UNRECOGNIZED"), operation


def test_the_page_about_what_is_missing_says_the_same() -> None:
    """`python -m tests.conformance.not_yet_page` writes it."""
    assert PAGE.read_text(encoding="utf-8") == not_yet_page()
