"""The rules on all events but memberships and changes of power levels."""

import pytest

from tests.protocol.auth_room import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    HASH,
    Room,
    Scene,
    allowed,
    broken_rule,
    check,
    rejected,
    room,
    versions_in,
)
from tremula.protocol.auth_rules import AuthState, check_auth
from tremula.protocol.events import Event
from tremula.protocol.room_state import CREATE, POWER_LEVELS, StateEvent, StateKey

NO_ROOM_VERSIONS: list[object] = ["", "no such", None, 11, ["11"], {}]
ALL_VERSIONS = list(versions_in("1-12"))


def _create(r: Room, **fields: object) -> Event:
    """The create event as the first of its room."""
    first = r.state[CREATE]
    r.state = {}
    values: dict[str, object] = {
        "event_id": first.event_id,
        "sender": ALICE,
        "state_key": "",
        "prev_events": (),
        **fields,
    }
    return r.event("m.room.create", first.content, **values)  # type: ignore[arg-type]


def _redaction(r: Room, redacts: str | None) -> Event:
    return r.event(
        "m.room.redaction", sender=BOB, redacts=redacts, event_id="$r:a.example"
    )


ALLOWED: list[tuple[str, str, Scene]] = [
    # the create event
    ("a room is created", "1-12", _create),
    (
        "a recognised room version is named",
        "1-12",
        lambda r: _create(r.create(room_version="6")),
    ),
    (
        "the creator need not be a user ID",
        "1-10",
        lambda r: _create(r.create(creator=["of any shape"])),
    ),
    (
        "additional creators are named",
        "12",
        lambda r: _create(r.create(additional_creators=[BOB, "@Old School:b.example"])),
    ),
    (
        "no additional creators",
        "12",
        lambda r: _create(r.create(additional_creators=[])),
    ),
    (
        "additional creators mean nothing yet",
        "1-11",
        lambda r: _create(r.create(additional_creators="bob")),
    ),
    # federation
    (
        "a remote user sends where federation is allowed in so many words",
        "1-12",
        lambda r: r.create(**{"m.federate": True}).event("m.text", sender=CAROL),
    ),
    (
        "m.federate of another type is not false",
        "1-12",
        lambda r: r.create(**{"m.federate": "false"}).event("m.text", sender=CAROL),
    ),
    (
        "m.federate of another type that is zero is not false",
        "1-12",
        lambda r: r.create(**{"m.federate": 0}).event("m.text", sender=CAROL),
    ),
    (
        "a local user sends in a room that does not federate",
        "1-12",
        lambda r: r.create(**{"m.federate": False}).event("m.text", sender=BOB),
    ),
    # aliases
    (
        "a server sets its aliases without power and without being there",
        "1-5",
        lambda r: r.event(
            "m.room.aliases", sender="@x:c.example", state_key="c.example"
        ),
    ),
    (
        "aliases are state like any other",
        "6-12",
        lambda r: r.event("m.room.aliases", sender=BOB, state_key="elsewhere.example"),
    ),
    # ordinary events
    ("a member sends a message", "1-12", lambda r: r.event("m.text", sender=CAROL)),
    (
        "a member of the very level sends state",
        "1-12",
        lambda r: r.event("m.room.topic", sender=BOB, state_key=""),
    ),
    (
        "an event's own level goes before the default",
        "1-12",
        lambda r: r.more_levels(events={"x.y": 0}).event(
            "x.y", sender=CAROL, state_key=""
        ),
    ),
    (
        "a user sets state under the own user ID",
        "1-12",
        lambda r: r.more_levels(state_default=0).event(
            "x.y", sender=CAROL, state_key=CAROL
        ),
    ),
    (
        "the creator sends state where no power levels are",
        "1-12",
        lambda r: r.without(POWER_LEVELS).event("x.y", state_key=""),
    ),
    (
        "an additional creator sends state whatever its level",
        "12",
        lambda r: (
            r.create(additional_creators=[CAROL])
            .levels(state_default=2**53 - 1)
            .event("x.y", sender=CAROL, state_key="")
        ),
    ),
    # third-party invites
    (
        "a member of the invite level sends a third-party invite below state_default",
        "1-12",
        lambda r: r.event("m.room.third_party_invite", sender=CAROL, state_key="token"),
    ),
    # redactions
    ("a moderator redacts", "1-2", lambda r: _redaction(r, "$e:b.example")),
    (
        "a server's own event is redacted",
        "1-2",
        lambda r: _redaction(r.more_levels(redact=51), "$e:a.example"),
    ),
    (
        "a redaction may be sent whatever the redact level",
        "3-12",
        lambda r: _redaction(r.more_levels(redact=51), "$e:b.example"),
    ),
]

REJECTED: list[tuple[str, str, Scene]] = [
    # the create event
    (
        "the create event has a previous event",
        "1-12:1.1",
        lambda r: _create(r, prev_events=("$prev",)),
    ),
    (
        "the room ID is of another server",
        "1-11:1.2",
        lambda r: _create(r, room_id="!room:b.example"),
    ),
    (
        "the room ID is not the create event's hash",
        "12:1.2",
        lambda r: _create(r, room_id=f"!{'B' * 43}"),
    ),
    (
        "the room ID has another sigil",
        "12:1.2",
        lambda r: _create(r, room_id=f"${HASH}"),
    ),
    *(
        (
            f"the room version is {room_version!r}",
            "1-12:1.3",
            lambda r, room_version=room_version: _create(
                r.create(room_version=room_version)
            ),
        )
        for room_version in NO_ROOM_VERSIONS
    ),
    (
        "there is no creator",
        "1-10:1.4",
        lambda r: _create(r.put(CREATE, {}, event_id="$create:a.example")),
    ),
    *(
        (
            f"additional_creators is {creators!r}",
            "12:1.4",
            lambda r, creators=creators: _create(
                r.create(additional_creators=creators)
            ),
        )
        for creators in (
            None,
            BOB,
            {BOB: 1},
            [5],
            [[BOB]],
            ["bob"],
            [BOB, "@x"],
            [None],
        )
    ),
    # the room
    (
        "the room has no create event",
        "1-11:2.4 12:2",
        lambda r: r.without(CREATE).event("m.text"),
    ),
    (
        "the room ID is another create event's",
        "12:2",
        lambda r: r.event("m.text", room_id=f"!{'B' * 43}"),
    ),
    (
        "a room that does not federate gets an event of another server",
        "1-11:3 12:4",
        lambda r: r.create(**{"m.federate": False}).event("m.text", sender=CAROL),
    ),
    (
        "a room that does not federate gets a member of another server",
        "1-11:3 12:4",
        lambda r: (
            r.create(**{"m.federate": False})
            .join_rule("public")
            .membership("@x:c.example", "join")
        ),
    ),
    # aliases
    (
        "aliases have no state key",
        "1-5:4.1",
        lambda r: r.event("m.room.aliases", sender=BOB),
    ),
    (
        "aliases of another server are set",
        "1-5:4.2",
        lambda r: r.event("m.room.aliases", sender=BOB, state_key="b.example"),
    ),
    (
        "aliases need membership and power",
        "6-11:5 12:6",
        lambda r: r.event(
            "m.room.aliases", sender="@x:c.example", state_key="c.example"
        ),
    ),
    # ordinary events
    (
        "a stranger sends a message",
        "1-5:6 6-11:5 12:6",
        lambda r: r.event("m.text", sender=DAVE),
    ),
    *(
        (
            f"a user whose membership is {membership} sends a message",
            "1-5:6 6-11:5 12:6",
            lambda r, membership=membership: r.member(CAROL, membership).event(
                "m.text", sender=CAROL
            ),
        )
        for membership in ("invite", "leave", "ban", "knock")
    ),
    (
        "a member below the level sends state",
        "1-5:8 6-11:7 12:8",
        lambda r: r.event("m.room.topic", sender=CAROL, state_key=""),
    ),
    (
        "a member below events_default sends a message",
        "1-5:8 6-11:7 12:8",
        lambda r: r.more_levels(events_default=1).event("m.text", sender=CAROL),
    ),
    (
        "a member below the type's own level sends a message",
        "1-5:8 6-11:7 12:8",
        lambda r: r.more_levels(events={"m.text": 1}).event("m.text", sender=CAROL),
    ),
    (
        "a member sends state where no power levels are",
        "1-5:8 6-11:7 12:8",
        lambda r: r.without(POWER_LEVELS).event("x.y", sender=BOB, state_key=""),
    ),
    (
        "the creator below the level sends state",
        "1-5:8 6-11:7",
        lambda r: r.levels(users={ALICE: 1}).event("x.y", state_key=""),
    ),
    (
        "state of another user's ID is set",
        "1-5:9 6-11:8 12:9",
        lambda r: r.event("x.y", state_key=BOB),
    ),
    (
        "state of a key that only looks like a user ID is set",
        "1-5:9 6-11:8 12:9",
        lambda r: r.event("x.y", state_key=f"{ALICE}_more"),
    ),
    # third-party invites
    (
        "a member below the invite level sends a third-party invite",
        "1-5:7.1 6-11:6.1 12:7.1",
        lambda r: r.more_levels(invite=51).event(
            "m.room.third_party_invite", sender=BOB, state_key="token"
        ),
    ),
    # redactions
    (
        "a member below the redact level redacts an event of another server",
        "1-2:11.3",
        lambda r: _redaction(r.more_levels(redact=51), "$e:b.example"),
    ),
    (
        "a member below the redact level redacts nothing",
        "1-2:11.3",
        lambda r: _redaction(r.more_levels(redact=51), None),
    ),
    (
        "a redaction needs the level of its type",
        "1-5:8 6-11:7 12:8",
        lambda r: _redaction(
            r.more_levels(events={"m.room.redaction": 51}), "$e:a.example"
        ),
    ),
]


@pytest.mark.parametrize(("version", "scene"), allowed(ALLOWED))
def test_an_event_is_allowed(version: str, scene: Scene) -> None:
    check(version, scene)


@pytest.mark.parametrize(("version", "rule", "scene"), rejected(REJECTED))
def test_an_event_is_rejected(version: str, rule: str, scene: Scene) -> None:
    assert broken_rule(version, scene) == rule


class _Counting(dict[StateKey, StateEvent]):
    """A state that counts how often each key is asked for."""

    def __init__(self, state: dict[StateKey, Event]) -> None:
        super().__init__(state)
        self.asked: list[StateKey] = []

    def get(self, key: StateKey, default: None = None, /) -> StateEvent | None:  # type: ignore[override]
        self.asked.append(key)
        return super().get(key, default)


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_a_message_asks_for_create_power_levels_and_the_sender_only(
    version: str,
) -> None:
    r = room(version)
    state = _Counting(r.state)

    check_auth(r.version, r.event("m.text", sender=CAROL), state)

    assert set(state.asked) == {CREATE, POWER_LEVELS, ("m.room.member", CAROL)}


def test_power_levels_are_parsed_once_for_many_events() -> None:
    r = room("11")
    auth = AuthState(r.version, r.state)
    check_auth(r.version, r.event("m.text"), auth)
    levels = auth.power_levels

    check_auth(r.version, r.event("m.text", sender=CAROL), auth)

    assert auth.power_levels is levels
    assert auth.advanced_to(dict(r.state)).power_levels is levels


def test_changed_power_levels_are_parsed_anew() -> None:
    r = room("11")
    auth = AuthState(r.version, dict(r.state))
    assert auth.power_levels.user(BOB) == 50

    r.levels(users={BOB: 7})

    assert auth.power_levels.user(BOB) == 50
    assert auth.advanced_to(r.state).power_levels.user(BOB) == 7


def test_a_state_that_changes_below_is_noticed() -> None:
    r = room("11")
    auth = AuthState(r.version, r.state)
    assert auth.power_levels.user(BOB) == 50

    r.levels(users={BOB: 7})

    assert auth.power_levels.user(BOB) == 7


def test_a_changed_create_event_is_noticed() -> None:
    r = room("12")
    auth = AuthState(r.version, r.state)
    before = auth.power_levels.user(BOB)

    r.create(additional_creators=[BOB])

    assert auth.power_levels.user(BOB) > before
