"""Identifier grammars (Appendices "Identifier Grammar")."""

from collections.abc import Callable

import pytest

from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import (
    is_compliant_user_id,
    is_namespaced_id,
    is_opaque_id,
    is_valid_localpart,
    is_valid_server_name,
    localpart_of,
    parse_device_id,
    parse_event_id,
    parse_room_alias,
    parse_room_id,
    parse_server_name,
    parse_txn_id,
    parse_user_id,
    server_of,
)

HASH = "Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"
STANDARD_HASH = "acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJk"


@pytest.mark.parametrize(
    "name",
    [
        "matrix.org",
        "matrix.org:8888",
        "1.2.3.4",
        "1.2.3.4:1234",
        "[1234:5678::abcd]",
        "[1234:5678::abcd]:5678",
        "[::ffff:1.2.3.4]",
        "localhost",
        "MATRIX.org",
        "1.2.3",
        "1.2.3.4.5",
        "a" * 255,
        "a:0",
        "a:65535",
    ],
)
def test_a_server_name_is_accepted(name: str) -> None:
    assert parse_server_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ":80",
        "a:",
        "a:b",
        "a:65536",
        "a:123456",
        "a:1:2",
        "a:+1",
        "a:\u0661",
        "a_b",
        "ä.org",
        "a b",
        "a/b",
        "a\n",
        "256.1.1.1",
        "01.2.3.4",
        "[",
        "[]",
        "[::1",
        "::1",
        "[::1]80",
        "[::1]:",
        "[::1]:x",
        "[::1%eth0]",
        "[1:2:3:4:5:6:7:8:9]",
        "[g::1]",
        "a" * 256,
        None,
        7,
    ],
)
def test_a_malformed_server_name_is_refused(name: object) -> None:
    with pytest.raises(InvalidParam):
        parse_server_name(name)


def test_server_names_are_case_sensitive() -> None:
    assert server_of("@a:Matrix.org") != server_of("@a:matrix.org")


@pytest.mark.parametrize(
    "user_id",
    [
        "@alice:example.org",
        "@a-z0-9._=-/+:example.org",
        "@alice:[::1]:8448",
        "@alice:1.2.3.4:8448",
        "@" + "a" * 249 + ":b.cd",
    ],
)
def test_a_user_id_of_today_is_accepted(user_id: str) -> None:
    assert parse_user_id(user_id, historical=False) == user_id


@pytest.mark.parametrize(
    "user_id",
    [
        "@Alice:example.org",
        "@:example.org",
        "@älice:example.org",
        "@a b:example.org",
        "@a\x01\n\x7f:example.org",
        "@🐈:example.org",
        "@a*b:example.org",
        "@@:example.org",
    ],
)
def test_a_historical_user_id_is_accepted_only_where_it_may_be(user_id: str) -> None:
    assert parse_user_id(user_id) == user_id
    with pytest.raises(InvalidParam):
        parse_user_id(user_id, historical=False)


@pytest.mark.parametrize(
    "user_id",
    [
        "",
        "@",
        "@alice",
        "@alice:",
        "@alice:ex ample",
        "@ali:ce:example.org",
        "@al\x00ice:example.org",
        "@al\ud800ice:example.org",
        "alice:example.org",
        "!alice:example.org",
        None,
        ["@alice:example.org"],
    ],
)
def test_a_malformed_user_id_is_refused(user_id: object) -> None:
    with pytest.raises(InvalidParam):
        parse_user_id(user_id)


@pytest.mark.parametrize(
    ("parse", "sigil"),
    [
        (parse_user_id, "@"),
        (parse_room_id, "!"),
        (parse_room_alias, "#"),
        (parse_event_id, "$"),
    ],
)
@pytest.mark.parametrize("char", ["a", "é", "本", "🐈"])
def test_255_bytes_are_the_limit_however_wide_the_characters(
    parse: Callable[[object], str], sigil: str, char: str
) -> None:
    fixed = len(sigil) + len(":b")
    count, rest = divmod(255 - fixed, len(char.encode()))
    longest = sigil + char * count + "a" * rest + ":b"

    assert len(parse(longest).encode()) == 255
    with pytest.raises(InvalidParam):
        parse(longest + "b")


@pytest.mark.parametrize("char", ["a", "é", "本", "🐈"])
def test_a_transaction_id_has_at_most_255_bytes(char: str) -> None:
    count, rest = divmod(255, len(char.encode()))
    longest = char * count + "a" * rest

    assert parse_txn_id(longest) == longest
    with pytest.raises(InvalidParam):
        parse_txn_id(longest + "a")


@pytest.mark.parametrize(
    ("localpart", "valid"),
    [
        ("alice", True),
        ("a-z0-9._=-/+", True),
        ("", False),
        ("Alice", False),
        ("a:b", False),
        ("älice", False),
        ("a\n", False),
        ("\u0661", False),
    ],
)
def test_localparts_of_new_users(localpart: str, *, valid: bool) -> None:
    assert is_valid_localpart(localpart) is valid


@pytest.mark.parametrize(
    ("user_id", "compliant"),
    [
        ("@Alice!~:a", True),
        ("@:a", False),
        ("@a b:a", False),
        ("@a\x7f:a", False),
        ("@ä:a", False),
    ],
)
def test_user_ids_that_may_be_shown_outside_of_events(
    user_id: str, *, compliant: bool
) -> None:
    assert is_compliant_user_id(user_id) is compliant


@pytest.mark.parametrize(
    ("parse", "raw"),
    [
        (parse_room_id, f"!{HASH}"),
        (parse_room_id, "!opaque:example.org"),
        (parse_room_id, "!:example.org"),
        (parse_event_id, f"${HASH}"),
        (parse_event_id, f"${STANDARD_HASH}"),
        (parse_event_id, "$opaque:example.org"),
        (parse_room_alias, "#räum:example.org"),
        (parse_room_alias, "##:example.org"),
        (parse_device_id, "ABC"),
        (parse_device_id, "mein Gerät 📱"),
        (parse_device_id, "x" * 255),
    ],
)
def test_an_identifier_is_accepted(parse: Callable[[object], str], raw: str) -> None:
    assert parse(raw) == raw


@pytest.mark.parametrize(
    ("parse", "raw"),
    [
        (parse_room_id, f"!{HASH[1:]}"),
        (parse_room_id, f"!{HASH}A"),
        (parse_room_id, f"!{HASH}\n"),
        (parse_room_id, f"${HASH}"),
        (parse_room_id, "!opaque"),
        (parse_room_id, ""),
        (parse_room_id, None),
        (parse_event_id, f"!{HASH}"),
        (parse_event_id, "$event"),
        (parse_event_id, f"${HASH[1:]}*"),
        (parse_event_id, 3),
        (parse_room_alias, "#räum"),
        (parse_room_alias, "#a\x00b:example.org"),
        (parse_room_alias, "@a:example.org"),
        (parse_device_id, ""),
        (parse_device_id, "x" * 256),
        (parse_device_id, "a\x00b"),
        (parse_device_id, "a\udfffb"),
        (parse_device_id, None),
    ],
)
def test_a_malformed_identifier_is_refused(
    parse: Callable[[object], str], raw: object
) -> None:
    with pytest.raises(InvalidParam):
        parse(raw)


def test_the_parts_of_an_identifier() -> None:
    assert localpart_of("@alice:[::1]:8448") == "alice"
    assert server_of("@alice:[::1]:8448") == "[::1]:8448"
    assert server_of(f"!{HASH}") == ""


@pytest.mark.parametrize(
    ("raw", "opaque", "namespaced"),
    [
        ("com.example.thing", True, True),
        ("A~9", True, False),
        ("9a", True, False),
        ("", False, False),
        ("a/b", False, False),
        ("a" * 255, True, True),
        ("a" * 256, False, False),
        ("a\n", False, False),
    ],
)
def test_opaque_and_namespaced_identifiers(
    raw: str, *, opaque: bool, namespaced: bool
) -> None:
    assert is_opaque_id(raw) is opaque
    assert is_namespaced_id(raw) is namespaced


def test_server_name_grammar_is_a_predicate_too() -> None:
    assert is_valid_server_name("matrix.org")
    assert not is_valid_server_name("matrix_org")
