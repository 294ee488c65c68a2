"""The rules on joins."""

import pytest

from tests.protocol.auth_room import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    Room,
    Scene,
    allowed,
    broken_rule,
    check,
    rejected,
    room,
)
from tremula.protocol.auth_rules import check_auth
from tremula.protocol.errors import AuthRuleViolation
from tremula.protocol.events import Event
from tremula.protocol.room_state import CREATE, JOIN_RULES


def _alone(r: Room) -> Room:
    """The room when only its create event is there."""
    r.state = {CREATE: r.state[CREATE]}
    return r


def _first_join(r: Room, user_id: str, *, prev: tuple[str, ...] = ()) -> Event:
    create = _alone(r).state[CREATE]
    return r.event(
        "m.room.member",
        {"membership": "join"},
        sender=user_id,
        state_key=user_id,
        prev_events=prev or (create.event_id,),
    )


def _restricted_join(r: Room, authorising: object) -> Event:
    return r.membership(DAVE, "join", join_authorised_via_users_server=authorising)


ALLOWED: list[tuple[str, str, Scene]] = [
    ("the creator joins first", "1-12", lambda r: _first_join(r, ALICE)),
    (
        "content.creator is the creator",
        "1-10",
        lambda r: _first_join(r.create(creator=BOB), BOB),
    ),
    (
        "the sender of the create event is the creator",
        "11-12",
        lambda r: _first_join(r.create(creator=BOB), ALICE),
    ),
    (
        "an invited user joins",
        "1-12",
        lambda r: r.member(DAVE, "invite").membership(DAVE, "join"),
    ),
    (
        "an invited user joins where no join rule was ever set",
        "1-12",
        lambda r: r.without(JOIN_RULES).member(DAVE, "invite").membership(DAVE, "join"),
    ),
    ("a member changes profile", "1-12", lambda r: r.membership(CAROL, "join")),
    (
        "anybody joins a public room",
        "1-12",
        lambda r: r.join_rule("public").membership(DAVE, "join"),
    ),
    (
        "whoever left joins a public room again",
        "1-12",
        lambda r: r.join_rule("public").member(DAVE, "leave").membership(DAVE, "join"),
    ),
    (
        "an invited user joins a knock room",
        "7-12",
        lambda r: r.join_rule("knock").member(DAVE, "invite").membership(DAVE, "join"),
    ),
    (
        "an invited user joins a restricted room",
        "8-12",
        lambda r: (
            r.join_rule("restricted").member(DAVE, "invite").membership(DAVE, "join")
        ),
    ),
    (
        "a member of a restricted room changes profile",
        "8-12",
        lambda r: r.join_rule("restricted").membership(CAROL, "join"),
    ),
    (
        "a restricted join is authorised by a member who may invite",
        "8-12",
        lambda r: _restricted_join(r.join_rule("restricted"), BOB),
    ),
    (
        "a knock_restricted join is authorised by a member who may invite",
        "10-12",
        lambda r: _restricted_join(r.join_rule("knock_restricted"), BOB),
    ),
    (
        "an invited user joins a knock_restricted room",
        "10-12",
        lambda r: (
            r.join_rule("knock_restricted")
            .member(DAVE, "invite")
            .membership(DAVE, "join")
        ),
    ),
    (
        "the authorising user means nothing before restricted rooms",
        "1-7",
        lambda r: _restricted_join(r.join_rule("public"), 17),
    ),
]

# The number of the rule that rejects each, by room version.
REJECTED: list[tuple[str, str, Scene]] = [
    (
        "the authorising user is no user ID",
        "8-11:4.2.1 12:5.2.1",
        lambda r: _restricted_join(r.join_rule("public"), "bob"),
    ),
    (
        "the authorising user is no text",
        "8-11:4.2.1 12:5.2.1",
        lambda r: _restricted_join(r.join_rule("public"), [BOB]),
    ),
    (
        "the server of the authorising user did not sign",
        "8-11:4.2.1 12:5.2.1",
        lambda r: _restricted_join(r.join_rule("public"), "@eve:unsigned.example"),
    ),
    (
        "any membership with an authorising user needs the signature",
        "8-11:4.2.1 12:5.2.1",
        lambda r: r.membership(
            CAROL, "leave", join_authorised_via_users_server="@eve:unsigned.example"
        ),
    ),
    (
        "somebody joins an empty room who is not the creator",
        "1-5:5.2.6 6-7:4.2.6 8-11:4.3.7 12:5.3.7",
        lambda r: _first_join(r, BOB),
    ),
    (
        "an additional creator is not the first to join",
        "12:5.3.7",
        lambda r: _first_join(r.create(additional_creators=[BOB]), BOB),
    ),
    (
        "content.creator is no creator any more",
        "11:4.3.7 12:5.3.7",
        lambda r: _first_join(r.create(creator=BOB), BOB),
    ),
    (
        "the sender of the create event is not the creator yet",
        "1-5:5.2.6 6-7:4.2.6 8-10:4.3.7",
        lambda r: _first_join(r.create(creator=BOB), ALICE),
    ),
    (
        "the creator joins alone after another event",
        "1-5:5.2.6 6-7:4.2.6 8-11:4.3.7 12:5.3.7",
        lambda r: _first_join(r, ALICE, prev=("$other",)),
    ),
    (
        "the create event is only one of several previous events",
        "1-5:5.2.6 6-7:4.2.6 8-11:4.3.7 12:5.3.7",
        lambda r: _first_join(r, ALICE, prev=(r.state[CREATE].event_id, "$other")),
    ),
    (
        "somebody joins for somebody else",
        "1-5:5.2.2 6-7:4.2.2 8-11:4.3.2 12:5.3.2",
        lambda r: r.join_rule("public").membership(DAVE, "join", by=BOB),
    ),
    (
        "a banned user joins",
        "1-5:5.2.3 6-7:4.2.3 8-11:4.3.3 12:5.3.3",
        lambda r: r.join_rule("public").member(DAVE, "ban").membership(DAVE, "join"),
    ),
    (
        "a stranger joins an invite room",
        "1-5:5.2.6 6-7:4.2.6 8-11:4.3.7 12:5.3.7",
        lambda r: r.membership(DAVE, "join"),
    ),
    (
        "whoever knocked joins",
        "7:4.2.6 8-11:4.3.7 12:5.3.7",
        lambda r: r.join_rule("knock").member(DAVE, "knock").membership(DAVE, "join"),
    ),
    (
        "an invited user joins a private room",
        "1-5:5.2.6 6-7:4.2.6 8-11:4.3.7 12:5.3.7",
        lambda r: (
            r.join_rule("private").member(DAVE, "invite").membership(DAVE, "join")
        ),
    ),
    (
        "the join rule is no text",
        "1-5:5.2.6 6-7:4.2.6 8-11:4.3.7 12:5.3.7",
        lambda r: r.join_rule(["public"]).membership(DAVE, "join"),
    ),
    (
        "the join rule knock is not known yet",
        "1-5:5.2.6 6:4.2.6",
        lambda r: r.join_rule("knock").member(DAVE, "invite").membership(DAVE, "join"),
    ),
    (
        "the join rule restricted is not known yet",
        "1-5:5.2.6 6-7:4.2.6",
        lambda r: _restricted_join(r.join_rule("restricted"), BOB),
    ),
    (
        "the join rule knock_restricted is not known yet",
        "1-5:5.2.6 6-7:4.2.6 8-9:4.3.7",
        lambda r: _restricted_join(r.join_rule("knock_restricted"), BOB),
    ),
    (
        "a restricted join names nobody",
        "8-11:4.3.5.2 12:5.3.5.2",
        lambda r: r.join_rule("restricted").membership(DAVE, "join"),
    ),
    (
        "a knock_restricted join names nobody",
        "10-11:4.3.5.2 12:5.3.5.2",
        lambda r: r.join_rule("knock_restricted").membership(DAVE, "join"),
    ),
    (
        "a restricted join is authorised by who is not joined",
        "8-11:4.3.5.2 12:5.3.5.2",
        lambda r: _restricted_join(r.join_rule("restricted").member(BOB, "leave"), BOB),
    ),
    (
        "a restricted join is authorised by who may not invite",
        "8-11:4.3.5.2 12:5.3.5.2",
        lambda r: _restricted_join(
            r.join_rule("restricted").more_levels(invite=51), BOB
        ),
    ),
]


@pytest.mark.parametrize(("version", "scene"), allowed(ALLOWED))
def test_a_join_is_allowed(version: str, scene: Scene) -> None:
    check(version, scene)


@pytest.mark.parametrize(("version", "rule", "scene"), rejected(REJECTED))
def test_a_join_is_rejected(version: str, rule: str, scene: Scene) -> None:
    assert broken_rule(version, scene) == rule


def test_a_restricted_join_needs_a_signature_unless_told_of_one() -> None:
    r = room("11").join_rule("restricted")

    with pytest.raises(AuthRuleViolation, match=r"RV11 4\.2\.1"):
        check_auth(r.version, _restricted_join(r, BOB), r.state)
