"""What each room version changed (RV1 to RV12)."""

from collections.abc import Callable

import pytest

from tremula.protocol.errors import UnsupportedRoomVersion
from tremula.protocol.room_versions import (
    DEFAULT_ROOM_VERSION,
    ROOM_VERSIONS,
    EventIdFormat,
    RoomVersion,
    StateResolution,
    get_room_version,
)


def test_versions_1_to_12_are_there_under_their_ids() -> None:
    assert list(ROOM_VERSIONS) == [str(number) for number in range(1, 13)]
    assert all(key == version.id for key, version in ROOM_VERSIONS.items())
    assert DEFAULT_ROOM_VERSION == "12"


@pytest.mark.parametrize(
    ("holds", "first", "last"),
    [
        (lambda v: v.event_ids is EventIdFormat.DOMAIN, 1, 2),
        (lambda v: v.event_ids is EventIdFormat.BASE64, 3, 3),
        (lambda v: v.event_ids is EventIdFormat.URLSAFE, 4, 12),
        (lambda v: v.state_resolution is StateResolution.V1, 1, 1),
        (lambda v: v.state_resolution is StateResolution.V2, 2, 11),
        (lambda v: v.state_resolution is StateResolution.V2_1, 12, 12),
        (lambda v: v.strict_canonical_json, 6, 12),
        (lambda v: v.depth_max == 2**63 - 1, 1, 5),
        (lambda v: v.depth_max == 2**53 - 1, 6, 12),
        (lambda v: v.enforce_key_validity, 5, 12),
        (lambda v: v.redacts_in_content, 11, 12),
        (lambda v: v.room_id_is_create_hash, 12, 12),
        (lambda v: v.create_in_auth_events, 1, 11),
        (lambda v: v.implicit_creator, 11, 12),
        (lambda v: v.privileged_creators, 12, 12),
        (lambda v: v.knock, 7, 12),
        (lambda v: v.restricted, 8, 12),
        (lambda v: v.knock_restricted, 10, 12),
        (lambda v: v.integer_power_levels, 10, 12),
        (lambda v: v.limit_notification_levels, 6, 12),
        (lambda v: v.alias_auth_rule, 1, 5),
        (lambda v: v.redaction_auth_rule, 1, 2),
    ],
)
def test_the_versions_in_which_a_rule_holds(
    holds: Callable[[RoomVersion], bool], first: int, last: int
) -> None:
    versions = [int(key) for key, version in ROOM_VERSIONS.items() if holds(version)]

    assert versions == list(range(first, last + 1))


@pytest.mark.parametrize("raw", ["0", "13", "1.2-beta", "", None, 12, ["12"]])
def test_another_version_is_unsupported(raw: object) -> None:
    with pytest.raises(UnsupportedRoomVersion):
        get_room_version(raw)


def test_a_version_is_found_by_its_id() -> None:
    assert get_room_version("12") is ROOM_VERSIONS["12"]
