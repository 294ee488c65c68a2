"""Frames of the websocket of application services."""

from base64 import b64encode

import orjson
import pytest

from tremula.protocol.appservice_websocket import (
    CONNECTED,
    FrameError,
    ProxiedRequest,
    ProxiedResponse,
    disconnect_reason,
    error_frame,
    http_proxy_frame,
    parse_error,
    parse_frame,
    parse_proxied_response,
    response_frame,
    transaction_frame,
)
from tremula.protocol.errors import BadJson, NotJson


def test_a_command_is_read_without_its_data() -> None:
    frame = parse_frame(b'{"command":"ping","id":3,"data":{"timestamp":[]}}')

    assert (frame.command, frame.id, bytes(frame.data)) == (
        "ping",
        3,
        b'{"timestamp":[]}',
    )
    assert frame.wants_answer


def test_a_command_without_an_id_wants_no_answer() -> None:
    frame = parse_frame(b'{"command":"bridge_status"}')

    assert not frame.wants_answer
    assert bytes(frame.data) == b"null"


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"{}",
        b'{"command":1}',
        b'{"command":"x","id":-1}',
        b'{"command":"x","id":9007199254740992}',
        b'{"command":"x","id":"1"}',
        b'{"command":"' + b"x" * 256 + b'"}',
    ],
)
def test_what_is_no_command_is_refused(raw: bytes) -> None:
    with pytest.raises(BadJson):
        parse_frame(raw)


@pytest.mark.parametrize(
    "raw",
    [b"", b"ping", b'{"command":"\xff"}', b'{"command":"x","data":' + b"[" * 100_000],
)
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(NotJson):
        parse_frame(raw)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"code":"X","message":"why"}', FrameError("X", "why")),
        (b"{}", FrameError("M_UNKNOWN", "")),
        (b'"why"', FrameError("M_UNKNOWN", "")),
        (b'"\xff"', FrameError("M_UNKNOWN", "")),
    ],
)
def test_errors_are_read_as_far_as_they_can_be(
    data: bytes, expected: FrameError
) -> None:
    assert parse_error(data) == expected


@pytest.mark.parametrize("body", [b"{}", b' { "events" : [{"a":1}],"ephemeral":[]}'])
def test_a_transaction_lies_at_the_top_level(body: bytes) -> None:
    frame = orjson.loads(transaction_frame(7, 't"1', body))

    assert frame == {
        "command": "transaction",
        "id": 7,
        "status": "ok",
        "txn_id": 't"1',
        **orjson.loads(body),
    }


def test_a_request_has_its_path_in_both_forms() -> None:
    request = ProxiedRequest(
        "PUT", "/a%2Fb/%40c", "x=1", {"Authorization": "Bearer t"}, b'{"d":1}'
    )

    frame = orjson.loads(http_proxy_frame(2, request))

    assert (frame["command"], frame["id"], frame["status"]) == ("http_proxy", 2, "ok")
    assert frame["data"] == {
        "method": "PUT",
        "path": "/a/b/@c",
        "escaped_path": "/a%2Fb/%40c",
        "query": "x=1",
        "headers": {"Authorization": ["Bearer t"]},
        "body": {"d": 1},
    }


def test_a_request_may_have_no_body() -> None:
    frame = orjson.loads(http_proxy_frame(2, ProxiedRequest("GET", "/a")))

    assert frame["data"]["body"] is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"status":200,"body":{"a": 1}}', ProxiedResponse(200, b'{"a": 1}')),
        (b'{"status":404}', ProxiedResponse(404, b"")),
        (b'{"status":404,"headers":null,"body":null}', ProxiedResponse(404, b"")),
        (
            b'{"status":502,"body":"'
            + b64encode(b"Bad gate").rstrip(b"=")
            + b'","headers":{"Content-Type":["text/plain"]}}',
            ProxiedResponse(502, b"Bad gate"),
        ),
        (
            b'{"status":200,"headers":{"content-type":["application/json; charset=x"]},'
            b'"body":"text"}',
            ProxiedResponse(200, b'"text"'),
        ),
    ],
)
def test_an_answer_is_what_it_would_have_been(
    data: bytes, expected: ProxiedResponse
) -> None:
    assert parse_proxied_response(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"status":99}',
        b'{"status":"200"}',
        b'{"status":200,"body":"%%%"}',
        b'{"status":200,"body":"\xc3\xa9"}',
        b"\xff",
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(BadJson):
        parse_proxied_response(data)


def test_every_frame_has_a_command_and_a_status() -> None:
    """heisenbridge hangs up otherwise."""
    frames = [
        CONNECTED,
        transaction_frame(1, "t", b"{}"),
        http_proxy_frame(1, ProxiedRequest("GET", "/")),
        response_frame(1, {}),
        error_frame(1, "X", "y"),
    ]

    assert all({"command", "status"} <= orjson.loads(frame).keys() for frame in frames)


def test_answers_have_the_id_of_their_command() -> None:
    assert orjson.loads(response_frame(4, {"a": 1}))["id"] == 4
    assert orjson.loads(error_frame(5, "X", "y")) == {
        "command": "error",
        "id": 5,
        "status": "ok",
        "data": {"code": "X", "message": "y"},
    }


def test_the_reason_of_a_close_frame_is_json() -> None:
    assert orjson.loads(disconnect_reason("conn_replaced")) == {
        "command": "disconnect",
        "status": "conn_replaced",
    }
