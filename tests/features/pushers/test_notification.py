"""Push Gateway API, notify: what is said in which case."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.features.pushers.pushing import stored_pusher, subject
from tremula.features.pushers.notification import (
    about_counts,
    about_event,
    tweaks_of,
)

PATH = "/_matrix/push/v1/notify"
DEVICE = {
    "app_id": "org.example.app.android",
    "pushkey": "key",
    "pushkey_ts": 1_782_000_000,
    "data": {},
}


def check_against_spec(notification: dict[str, Any]) -> None:
    root = os.environ.get("MATRIX_SPEC")
    if not root:
        return
    sys.path.append(str(Path(root) / "tools"))
    spec = import_module("check_response").Spec(root)
    report = spec.check_request("POST", PATH, {"notification": notification})
    assert report.ok, report


def test_all_that_is_known_of_an_event_is_told() -> None:
    invite = subject(
        type="m.room.member",
        content={"membership": "invite"},
        user_is_target=True,
        sender_display_name="Bob",
        room_name="Room",
        room_alias="#room:test",
    )

    notification = about_event(
        invite, [stored_pusher()], {"sound": "default"}, unread=3
    )

    assert notification == {
        "event_id": "$event",
        "room_id": "!room",
        "type": "m.room.member",
        "sender": "@bob:test",
        "sender_display_name": "Bob",
        "room_name": "Room",
        "room_alias": "#room:test",
        "user_is_target": True,
        "prio": "high",
        "content": {"membership": "invite"},
        "counts": {"unread": 3},
        "devices": [{**DEVICE, "tweaks": {"sound": "default"}}],
    }
    check_against_spec(notification)


def test_what_nobody_knows_is_left_out() -> None:
    notification = about_event(subject(), [stored_pusher()], {}, unread=1)

    assert set(notification) == {
        *("event_id", "room_id", "type", "sender", "prio", "content", "counts"),
        "devices",
    }
    check_against_spec(notification)


def test_nothing_of_an_event_but_its_id_is_told_where_that_is_wanted() -> None:
    pusher = stored_pusher(format="event_id_only", extra={"a": 1})

    notification = about_event(
        subject(room_name="Room", sender_display_name="Bob"), [pusher], {}, unread=1
    )

    assert notification == {
        "event_id": "$event",
        "room_id": "!room",
        "prio": "low",
        "counts": {"unread": 1},
        "devices": [{**DEVICE, "data": {"format": "event_id_only", "extra": {"a": 1}}}],
    }
    check_against_spec(notification)


def test_counts_are_told_alone_and_zero_too() -> None:
    notification = about_counts([stored_pusher("a"), stored_pusher("b")], unread=0)

    assert notification["counts"] == {"unread": 0}
    assert [each["pushkey"] for each in notification["devices"]] == ["a", "b"]
    assert set(notification) == {"prio", "counts", "devices"}
    check_against_spec(notification)


@pytest.mark.parametrize(
    ("event_type", "tweaks", "priority"),
    [
        ("m.room.message", {}, "low"),
        ("m.room.message", {"highlight": False}, "low"),
        ("m.room.message", {"highlight": True}, "high"),
        ("m.room.message", {"sound": "ring"}, "high"),
        ("m.room.encrypted", {}, "high"),
    ],
)
def test_what_is_heard_has_a_high_priority(
    event_type: str, tweaks: dict[str, Any], priority: str
) -> None:
    notification = about_event(
        subject(type=event_type), [stored_pusher()], tweaks, unread=1
    )

    assert notification["prio"] == priority


@pytest.mark.parametrize(
    ("actions", "tweaks"),
    [
        ([], {}),
        (["notify"], {}),
        (["notify", {"set_tweak": "highlight"}], {"highlight": True}),
        ([{"set_tweak": "highlight", "value": False}], {"highlight": False}),
        ([{"set_tweak": "sound", "value": "ring"}], {"sound": "ring"}),
        ([{"set_tweak": "org.example.light"}], {}),
        ([{"set_tweak": 7, "value": 1}, {"other": 1}, None], {}),
    ],
)
def test_tweaks_are_those_of_the_actions(
    actions: list[Any], tweaks: dict[str, Any]
) -> None:
    assert tweaks_of(actions) == tweaks
