"""Registrations of application services: what is read, and what is refused."""

from typing import Any

import msgspec
import pytest

from tests.features.appservices.registrations import (
    namespaces,
    registration,
    registration_object,
)
from tremula.protocol.appservices import (
    Namespace,
    Registration,
    parse_registration,
)
from tremula.protocol.errors import InvalidParam, MatrixError, MissingParam


def test_the_example_of_the_specification_is_read() -> None:
    parsed = parse_registration(
        {
            "id": "IRC Bridge",
            "url": "http://127.0.0.1:1234",
            "as_token": "30c05ae90a248a4188e620216fa72e34",
            "hs_token": "312df522183efd404ec1cd22d2ffa4bb",
            "sender_localpart": "_irc_bot",
            "namespaces": {
                "users": [{"exclusive": True, "regex": "@_irc_bridge_.*"}],
                "aliases": [{"exclusive": False, "regex": "#_irc_bridge_.*"}],
                "rooms": [],
            },
        }
    )

    assert parsed.id == "IRC Bridge"
    assert parsed.namespaces.users == (Namespace("@_irc_bridge_.*", exclusive=True),)
    assert parsed.namespaces.aliases == (Namespace("#_irc_bridge_.*", exclusive=False),)
    assert parsed.rate_limited
    assert not parsed.receives_ephemeral


@pytest.mark.parametrize(
    ("key", "attribute"),
    [
        ("receive_ephemeral", "receives_ephemeral"),
        ("de.sorunome.msc2409.push_ephemeral", "receives_ephemeral"),
        ("org.matrix.msc3202", "receives_encryption"),
        ("io.element.msc4190", "manages_devices"),
    ],
)
def test_stable_and_unstable_keys_are_read(key: str, attribute: str) -> None:
    assert getattr(registration(**{key: True}), attribute) is True


def test_keys_without_a_value_are_not_there() -> None:
    parsed = registration(
        protocols=None, rate_limited=None, namespaces={"users": None, "rooms": []}
    )

    assert parsed.protocols == ()
    assert parsed.rate_limited
    assert parsed.namespaces.users == ()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"id": ""}, "$.id"),
        ({"id": 5}, "$.id"),
        ({"as_token": ""}, "$.as_token"),
        ({"hs_token": "two words"}, "$.hs_token"),
        ({"hs_token": "new\nline"}, "$.hs_token"),
        ({"sender_localpart": "a:b"}, "user ID"),
        ({"sender_localpart": "a" * 255}, "user ID"),
        ({"owner": "alice"}, "user ID"),
        ({"url": "127.0.0.1:80"}, "url"),
        ({"url": "ftp://a"}, "url"),
        ({"url": "http://"}, "url"),
        ({"url": "http://a:99999"}, "url"),
        ({"url": "http://a?b"}, "url"),
        ({"url": "http://[a"}, "url"),
        ({"namespaces": []}, "$.namespaces"),
        ({"namespaces": {"users": "@a"}}, "$.namespaces.users"),
        (
            {"namespaces": {"users": [{"regex": "@a", "exclusive": "yes"}]}},
            "exclusive",
        ),
        ({"namespaces": namespaces(aliases="[")}, "namespaces.aliases[0].regex"),
        ({"namespaces": namespaces(rooms="a" * 1001)}, "regex"),
        (
            {"namespaces": {"users": [{"regex": "@a", "exclusive": True}] * 101}},
            "$.namespaces.users",
        ),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidParam) as refused:
        registration(**changes)

    assert named.replace("$.", "") in refused.value.message


@pytest.mark.parametrize(
    "key",
    ["id", "url", "as_token", "hs_token", "sender_localpart", "namespaces"],
)
def test_what_is_missing_is_named(key: str) -> None:
    raw = registration_object()
    del raw[key]

    with pytest.raises(MissingParam, match=key):
        parse_registration(raw)


@pytest.mark.parametrize("raw", [None, [], "id: irc", {1: 2}])
def test_what_is_no_object_is_refused(raw: object) -> None:
    with pytest.raises(MatrixError):
        parse_registration(raw)


def test_tokens_come_into_no_log() -> None:
    assert "token" not in repr(registration())


def test_a_registration_survives_json() -> None:
    parsed = registration(url="http://a", **{"org.matrix.msc3202": True})

    stored = msgspec.json.encode(parsed)

    assert msgspec.json.decode(stored, type=Registration) == parsed
    assert parse_registration(msgspec.json.decode(stored)) == parsed


def test_what_comes_by_websocket_has_no_url() -> None:
    parsed = registration(url="websocket")

    assert parsed.url is None
    assert not parsed.push
