"""Profiles (CS "Profiles")."""

import pytest

from tremula.protocol.errors import (
    BadJson,
    InvalidParam,
    KeyTooLarge,
    MatrixError,
    ProfileTooLarge,
)
from tremula.protocol.profiles import (
    PROFILE_BYTES_MAX,
    check_profile_size,
    encode_field,
    encode_profile,
    member_fields,
    parse_field_name,
    parse_profile,
)


@pytest.mark.parametrize(
    "name", ["displayname", "m.tz", "a" * 255, "org.example.x-y_1"]
)
def test_field_names_are_namespaced_ids(name: str) -> None:
    assert parse_field_name(name) == name


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", InvalidParam),
        ("Displayname", InvalidParam),
        ("1a", InvalidParam),
        ("a b", InvalidParam),
        ("a" * 256, KeyTooLarge),
        ("ä" * 128, KeyTooLarge),
    ],
)
def test_other_field_names_are_refused(name: str, error: type[MatrixError]) -> None:
    with pytest.raises(error):
        parse_field_name(name)


@pytest.mark.parametrize("value", [None, 1, ["Alice"], {}])
@pytest.mark.parametrize("name", ["displayname", "avatar_url", "m.tz"])
def test_fields_of_the_specification_are_text(name: str, value: object) -> None:
    with pytest.raises(BadJson):
        encode_field(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("displayname", "ä" * 513), ("avatar_url", "m" * 1_025), ("m.tz", "a b")],
)
def test_text_past_its_bound_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidParam):
        encode_field(name, value)


@pytest.mark.parametrize(
    ("name", "value", "encoded"),
    [
        ("displayname", "Alice", b'"Alice"'),
        ("m.tz", "Europe/Berlin", b'"Europe/Berlin"'),
        ("org.example.nothing", None, b"null"),
        ("org.example.object", {"a": [1]}, b'{"a":[1]}'),
    ],
)
def test_a_field_is_kept_as_json(name: str, value: object, encoded: bytes) -> None:
    assert encode_field(name, value) == encoded


def test_a_profile_is_one_json_object() -> None:
    assert encode_profile({}) == b"{}"
    assert encode_profile({"a": b"1", "b": b"{}"}) == b'{"a":1,"b":{}}'


def test_a_profile_stays_under_64_kib() -> None:
    filler = b'"' + b"x" * (PROFILE_BYTES_MAX - len('{"a":""}')) + b'"'

    check_profile_size({"a": filler})
    with pytest.raises(ProfileTooLarge):
        check_profile_size({"a": filler[:1] + b"x" + filler[1:]})


def test_member_events_hold_the_name_and_the_avatar_that_are_set() -> None:
    fields = {"displayname": b'"Alice"', "avatar_url": b'""', "m.tz": b'"UTC"'}

    assert member_fields(fields) == {"displayname": "Alice"}
    assert member_fields({}) == {}


def test_a_remote_profile_keeps_what_can_be_in_one() -> None:
    raw = {
        "displayname": "Alice",
        "avatar_url": None,
        "m.tz": 7,
        "Bad Name": "x",
        "org.example.big": 2**70,
        "org.example.pets": ["cat"],
    }

    assert parse_profile(raw) == {
        "displayname": b'"Alice"',
        "org.example.pets": b'["cat"]',
    }


def test_a_remote_profile_stays_under_64_kib() -> None:
    fields = parse_profile({f"org.example.{n}": "x" * 1000 for n in range(200)})

    check_profile_size(fields)
    assert len(fields) > 60
