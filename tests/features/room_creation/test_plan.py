"""The events of a new room, by what was asked for (CS createRoom)."""

from typing import Any

import pytest

from tremula.features.room_creation.plan import (
    InitialState,
    Member,
    Preset,
    RoomPlan,
    plan_events,
)
from tremula.protocol.identifiers import RoomAlias, UserId
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.rooms.events import Draft

ALICE = Member(UserId("@alice:test"), {"displayname": "Alice"})
BOB = Member(UserId("@bob:test"), {})


def plan(version: str = "12", **fields: Any) -> list[Draft]:  # noqa: ANN401 - those of RoomPlan
    fields.setdefault("preset", Preset.PRIVATE_CHAT)
    return plan_events(
        RoomPlan(creator=ALICE, version=ROOM_VERSIONS[version], **fields)
    )


def state_of(drafts: list[Draft]) -> dict[tuple[str, str | None], dict[str, Any]]:
    return {(draft.type, draft.state_key): draft.content for draft in drafts}


def test_events_come_in_the_order_of_the_specification() -> None:
    drafts = plan(
        alias=RoomAlias("#room:test"),
        initial_state=[InitialState("m.room.encryption", "", {"algorithm": "x"})],
        name="Name",
        topic="Topic",
        invitees=[BOB],
    )

    assert [(draft.type, draft.state_key) for draft in drafts] == [
        ("m.room.create", ""),
        ("m.room.member", "@alice:test"),
        ("m.room.power_levels", ""),
        ("m.room.canonical_alias", ""),
        ("m.room.join_rules", ""),
        ("m.room.history_visibility", ""),
        ("m.room.guest_access", ""),
        ("m.room.encryption", ""),
        ("m.room.name", ""),
        ("m.room.topic", ""),
        ("m.room.member", "@bob:test"),
    ]
    assert {draft.sender for draft in drafts} == {"@alice:test"}


@pytest.mark.parametrize(
    ("preset", "join_rule", "guest_access"),
    [
        (Preset.PRIVATE_CHAT, "invite", "can_join"),
        (Preset.TRUSTED_PRIVATE_CHAT, "invite", "can_join"),
        (Preset.PUBLIC_CHAT, "public", "forbidden"),
    ],
)
def test_a_preset_sets_three_states(
    preset: Preset, join_rule: str, guest_access: str
) -> None:
    state = state_of(plan(preset=preset))

    assert state["m.room.join_rules", ""] == {"join_rule": join_rule}
    assert state["m.room.history_visibility", ""] == {"history_visibility": "shared"}
    assert state["m.room.guest_access", ""] == {"guest_access": guest_access}


def test_initial_state_overrides_the_preset_and_the_name_overrides_it() -> None:
    drafts = plan(
        initial_state=[
            InitialState("m.room.join_rules", "", {"join_rule": "knock"}),
            InitialState("m.room.name", "", {"name": "initial"}),
        ],
        name="given",
    )

    assert [d.content for d in drafts if d.type == "m.room.join_rules"] == [
        {"join_rule": "knock"}
    ]
    assert [d.content for d in drafts if d.type == "m.room.name"] == [{"name": "given"}]


def test_the_create_event_keeps_creation_content_but_not_the_servers_keys() -> None:
    given = {"creator": "@mallory:test", "room_version": "1", "m.federate": False}

    [create, *_] = plan("10", creation_content=given)
    assert create.content == {
        "creator": "@alice:test",
        "room_version": "10",
        "m.federate": False,
    }

    [create, *_] = plan("11", creation_content=given)
    assert create.content == {"room_version": "11", "m.federate": False}


def test_the_creator_has_power_by_name_until_version_11_only() -> None:
    assert state_of(plan("11"))["m.room.power_levels", ""]["users"] == {
        "@alice:test": 100
    }
    assert state_of(plan("12"))["m.room.power_levels", ""]["users"] == {}


def test_from_version_12_on_a_tombstone_takes_more_than_any_level() -> None:
    before = state_of(plan("11"))["m.room.power_levels", ""]
    after = state_of(plan("12"))["m.room.power_levels", ""]

    assert before["events"]["m.room.tombstone"] == 100
    assert after["events"]["m.room.tombstone"] == 150


def test_trusted_invitees_have_the_power_of_the_creator() -> None:
    trusted = {"preset": Preset.TRUSTED_PRIVATE_CHAT, "invitees": [BOB]}

    levels = state_of(plan("11", **trusted))["m.room.power_levels", ""]
    assert levels["users"] == {"@alice:test": 100, "@bob:test": 100}

    given = {"additional_creators": ["@carol:test", "@bob:test"]}
    state = state_of(plan("12", creation_content=given, **trusted))
    assert state["m.room.create", ""]["additional_creators"] == [
        "@carol:test",
        "@bob:test",
    ]
    assert state["m.room.power_levels", ""]["users"] == {}


def test_the_power_level_override_replaces_key_by_key() -> None:
    override = {"invite": 77, "events": {"m.room.name": 3}}
    levels = state_of(plan(power_levels_override=override))["m.room.power_levels", ""]

    assert levels["invite"] == 77
    assert levels["events"] == {"m.room.name": 3}
    assert levels["ban"] == 50


def test_members_show_their_profile_and_direct_invitations_say_so() -> None:
    state = state_of(plan(invitees=[BOB], is_direct=True))

    assert state["m.room.member", "@alice:test"] == {
        "membership": "join",
        "displayname": "Alice",
    }
    assert state["m.room.member", "@bob:test"] == {
        "membership": "invite",
        "is_direct": True,
    }


def test_a_topic_has_a_plain_text_block() -> None:
    assert state_of(plan(topic="Trees"))["m.room.topic", ""] == {
        "topic": "Trees",
        "m.topic": {"m.text": [{"body": "Trees"}]},
    }
