"""What application services tell of other networks."""

import pytest

from tremula.protocol.third_party_networks import (
    ENTRIES_MAX,
    instance_id,
    merged,
    parse_locations,
    parse_protocol,
    parse_users,
)

FIELD = {"regexp": ".*", "placeholder": "x"}
PROTOCOL = {
    "user_fields": ["nick"],
    "location_fields": ["channel"],
    "icon": "mxc://a/b",
    "field_types": {"nick": FIELD, "channel": FIELD},
}
INSTANCE = {"desc": "Libera", "network_id": "libera", "fields": {}}
KNOWN = {**INSTANCE, "instance_id": instance_id("irc", "libera")}


@pytest.mark.parametrize(
    ("instances", "kept"),
    [
        ([INSTANCE], [KNOWN]),
        ([{**INSTANCE, "icon": "x", "more": 1}], [{**KNOWN, "icon": "x"}]),
        ([{**INSTANCE, "icon": None}], [KNOWN]),
        ([1, {}, {**INSTANCE, "desc": 1}, {**INSTANCE, "fields": []}], []),
        ([INSTANCE] * (ENTRIES_MAX + 1), [KNOWN] * ENTRIES_MAX),
        ({}, []),
    ],
)
def test_a_protocol_has_instances(instances: object, kept: list[object]) -> None:
    told = {**PROTOCOL, "instances": instances, "more": 1}

    assert parse_protocol(told, "irc") == {**PROTOCOL, "instances": kept}


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {**PROTOCOL, "user_fields": None},
        {**PROTOCOL, "user_fields": ["x"] * 101},
        {**PROTOCOL, "location_fields": [1]},
        {**PROTOCOL, "icon": 1},
        {**PROTOCOL, "field_types": []},
        {**PROTOCOL, "field_types": {"nick": None}},
        {**PROTOCOL, "field_types": {"nick": {"regexp": "x"}}},
        {**PROTOCOL, "field_types": {str(number): FIELD for number in range(101)}},
    ],
)
def test_a_malformed_protocol_is_none(told: object) -> None:
    assert parse_protocol(told, "irc") is None


def test_protocols_of_several_are_one() -> None:
    first = {**PROTOCOL, "instances": [1]}

    assert merged([first, {"icon": "other", "instances": [2, 3]}]) == {
        **PROTOCOL,
        "instances": [1, 2, 3],
    }


def test_entries_are_what_they_must_be() -> None:
    location = {"alias": "#a:b", "protocol": "irc", "fields": {"channel": "#a"}}
    user = {"userid": "@a:b", "protocol": "irc", "fields": {}}
    told = [{**location, "more": 1}, user, 1, {**location, "fields": []}]

    assert parse_locations(told) == [location]
    assert parse_users(told) == [user]
    assert parse_users({"0": user}) == []
    assert len(parse_users([user] * (ENTRIES_MAX + 1))) == ENTRIES_MAX
