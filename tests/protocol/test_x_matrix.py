"""SS "Request Authentication": the X-Matrix header, and what it signs."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.test_signing import KEY
from tremula.protocol.errors import BadJson, Unauthorized
from tremula.protocol.identifiers import ServerName
from tremula.protocol.signing import BadSignature, SigningKey, sign_json
from tremula.protocol.x_matrix import (
    HEADER_CHARS_MAX,
    SignedRequest,
    XMatrix,
    authorization_header,
    parse_authorization,
    verify_request,
)

ORIGIN = ServerName("origin.hs.example.com")
DESTINATION = ServerName("destination.hs.example.com")
# The specification's example.
EXAMPLE = (
    'X-Matrix origin="origin.hs.example.com",destination="destination.hs.example.com"'
    ',key="ed25519:key1",sig="ABCDEF..."'
)
PARSED_EXAMPLE = XMatrix(
    origin=ORIGIN,
    destination=DESTINATION,
    key_id="ed25519:key1",
    signature="ABCDEF...",
)
QUOTED = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1)


def request(
    *,
    method: str = "POST",
    uri: str = "/target",
    destination: ServerName = DESTINATION,
    content: object = None,
) -> SignedRequest:
    return SignedRequest(
        method=method,
        uri=uri,
        origin=ORIGIN,
        destination=destination,
        content=content,
    )


def header(**params: str) -> str:
    """The example with some parameters replaced; ``None`` leaves one out."""
    given = {"origin": ORIGIN, "key": "ed25519:key1", "sig": "ABC", **params}
    return "X-Matrix " + ",".join(f'{n}="{v}"' for n, v in given.items())


def header_by_the_example_code(
    method: str, uri: str, content: dict[str, Any] | None
) -> str:
    """The specification's Python example, line by line."""
    request_json: dict[str, Any] = {
        "method": method,
        "uri": uri,
        "origin": ORIGIN,
        "destination": DESTINATION,
    }
    if content is not None:
        request_json["content"] = content
    signed_json = sign_json(request_json, ORIGIN, KEY)
    [(key_id, signature)] = signed_json["signatures"][ORIGIN].items()
    return (
        f'X-Matrix origin="{ORIGIN}",destination="{DESTINATION}",'
        f'key="{key_id}",sig="{signature}"'
    )


@pytest.mark.parametrize("content", [None, {}, {"b": [1, {"ä": None}], "a": "\0"}])
def test_the_header_is_that_of_the_specifications_example_code(
    content: dict[str, Any] | None,
) -> None:
    uri = "/_matrix/federation/v1/x?y=%2F"
    ours = authorization_header(request(uri=uri, content=content), KEY)
    assert ours == header_by_the_example_code("POST", uri, content)


def test_a_request_is_verified_by_its_own_header() -> None:
    sent = request(content={"pdus": []})
    authorization = parse_authorization(authorization_header(sent, KEY))
    verify_request(sent, authorization, KEY.public_key)


@pytest.mark.parametrize(
    "received",
    [
        request(content={"a": 2}),
        request(content=None),
        request(content={"a": 1}, method="PUT"),
        request(content={"a": 1}, uri="/target?"),
        request(content={"a": 1}, destination=ServerName("elsewhere.example.com")),
    ],
)
def test_a_changed_request_is_refused(received: SignedRequest) -> None:
    sent = request(content={"a": 1})
    authorization = parse_authorization(authorization_header(sent, KEY))
    with pytest.raises(BadSignature):
        verify_request(received, authorization, KEY.public_key)


def test_another_key_does_not_verify() -> None:
    authorization = parse_authorization(authorization_header(request(), KEY))
    other = SigningKey.from_seed(KEY.key_id, b"\x02" * 32)
    with pytest.raises(BadSignature):
        verify_request(request(), authorization, other.public_key)


@pytest.mark.parametrize("value", [1.5, 2**53, 2**64 + 1])
def test_numbers_of_old_rooms_do_not_stop_a_transaction(value: float) -> None:
    sent = request(content={"pdus": [{"content": {"n": value}}]})
    authorization = parse_authorization(authorization_header(sent, KEY))
    verify_request(sent, authorization, KEY.public_key)


def test_what_is_no_json_cannot_be_signed() -> None:
    with pytest.raises(BadJson):
        authorization_header(request(content={"n": float("nan")}), KEY)


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE,
        EXAMPLE.replace("X-Matrix", "x-mATRIX"),
        EXAMPLE.replace("X-Matrix ", "X-Matrix   "),
        EXAMPLE.replace(",", " \t,\t "),
        EXAMPLE.replace(",", ",, ,"),
        EXAMPLE.replace("X-Matrix ", "X-Matrix , ") + " ,\t",
        EXAMPLE.replace("=", " = "),
        EXAMPLE.replace("origin=", "ORIGIN=").replace("key=", "Key="),
        EXAMPLE.replace('"', ""),
        EXAMPLE.replace("example", r"\e\x\ample"),
        EXAMPLE + ',unknown="\\"a, b=\\"",other=x',
        'X-Matrix sig="ABCDEF...",key="ed25519:key1",'
        f"destination={DESTINATION},origin={ORIGIN}",
    ],
)
def test_every_spelling_of_the_example_is_understood(text: str) -> None:
    assert parse_authorization(text) == PARSED_EXAMPLE


def test_old_servers_may_leave_out_the_destination() -> None:
    assert parse_authorization(header()).destination is None


def test_colons_need_no_quotes() -> None:
    """Older servers send them so."""
    parsed = parse_authorization("X-Matrix origin=a.org:8448,key=ed25519:1,sig=abc")
    assert parsed.origin == "a.org:8448"


def test_an_ipv6_address_may_be_an_origin() -> None:
    assert parse_authorization(header(origin="[::1]:8448")).origin == "[::1]:8448"


@given(QUOTED)
def test_escapes_are_undone(value: str) -> None:
    escaped = "".join("\\" + char for char in value)
    assert parse_authorization(header(sig=escaped)).signature == value


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "X-Matrix",
        "X-Matrix ",
        "Bearer abc",
        "Basic X-Matrix origin=a",
        EXAMPLE.replace("X-Matrix ", "X-Matrix"),
        EXAMPLE.replace("X-Matrix ", "X-Matrix\t"),
        EXAMPLE + ' "',
        EXAMPLE + ",=x",
        EXAMPLE + ",x",
        EXAMPLE + ",x=",
        EXAMPLE + ',x="',
        EXAMPLE + ',x="\\',
        EXAMPLE + ',x="\n"',
        EXAMPLE + ',x="\x7f"',
        EXAMPLE + ' x="y"',
        EXAMPLE + ',origin="other.org"',
        EXAMPLE + ",sig=x",
        EXAMPLE.replace(",", ";"),
        header(origin=""),
        header(origin="a b"),
        header(origin="a.org/path"),
        header(origin="[::1"),
        header(key=""),
        header(key="key1"),
        header(key="curve25519:1"),
        header(key="ed25519:a-b"),
        header(key="ed25519:" + "x" * 256),
        header(sig=""),
        'X-Matrix key="ed25519:key1",sig="ABC"',
        'X-Matrix origin="a.org",sig="ABC"',
        'X-Matrix origin="a.org",key="ed25519:key1"',
        header(unknown="x" * HEADER_CHARS_MAX),
    ],
)
def test_what_is_malformed_is_refused(text: str | None) -> None:
    with pytest.raises(Unauthorized) as refusal:
        parse_authorization(text)
    assert refusal.value.http_status == 401


@given(st.text(max_size=200))
def test_nothing_but_unauthorized_comes_of_garbage(text: str) -> None:
    with pytest.raises(Unauthorized):
        parse_authorization("X-Matrix " + text)


@pytest.mark.parametrize("unit", ["\\", ",", " ", '"', "a=", '\\"', "a", 'a="', "=,"])
def test_parsing_takes_linear_time(unit: str) -> None:
    text = header() + "," + unit * (HEADER_CHARS_MAX // len(unit) - 200)
    started = time.process_time()
    for _ in range(20):
        with pytest.raises(Unauthorized):
            parse_authorization(text + "\n")
    assert time.process_time() - started < 1
