"""The rules on memberships but joins and third-party invites."""

import pytest

from tests.protocol.auth_room import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    Scene,
    allowed,
    broken_rule,
    check,
    rejected,
    room,
    versions_in,
)
from tremula.protocol.auth_rules import check_auth
from tremula.protocol.errors import AuthRuleViolation
from tremula.protocol.room_state import POWER_LEVELS, member_key

ALLOWED: list[tuple[str, str, Scene]] = [
    # membership invite
    ("a member invites", "1-12", lambda r: r.membership(DAVE, "invite", by=CAROL)),
    (
        "a member of the very invite level invites",
        "1-12",
        lambda r: r.more_levels(invite=50).membership(DAVE, "invite", by=BOB),
    ),
    (
        "an invite is sent again",
        "1-12",
        lambda r: r.member(DAVE, "invite").membership(DAVE, "invite", by=CAROL),
    ),
    (
        "a knock is answered by an invite",
        "7-12",
        lambda r: r.member(DAVE, "knock").membership(DAVE, "invite", by=CAROL),
    ),
    # membership leave
    ("a member leaves", "1-12", lambda r: r.membership(CAROL, "leave")),
    (
        "an invite is rejected",
        "1-12",
        lambda r: r.member(DAVE, "invite").membership(DAVE, "leave"),
    ),
    (
        "a knock is taken back",
        "7-12",
        lambda r: r.member(DAVE, "knock").membership(DAVE, "leave"),
    ),
    ("a moderator kicks", "1-12", lambda r: r.membership(CAROL, "leave", by=BOB)),
    (
        "an invite is revoked",
        "1-12",
        lambda r: r.member(DAVE, "invite").membership(DAVE, "leave", by=BOB),
    ),
    (
        "a moderator unbans",
        "1-12",
        lambda r: r.member(DAVE, "ban").membership(DAVE, "leave", by=BOB),
    ),
    # membership ban
    ("a moderator bans", "1-12", lambda r: r.membership(CAROL, "ban", by=BOB)),
    (
        "whoever is not there is banned",
        "1-12",
        lambda r: r.membership(DAVE, "ban", by=BOB),
    ),
    (
        "the creator bans a moderator",
        "1-12",
        lambda r: r.membership(BOB, "ban", by=ALICE),
    ),
    # membership knock
    (
        "a stranger knocks",
        "7-12",
        lambda r: r.join_rule("knock").membership(DAVE, "knock"),
    ),
    (
        "whoever left knocks",
        "7-12",
        lambda r: r.join_rule("knock").member(DAVE, "leave").membership(DAVE, "knock"),
    ),
    (
        "a knock is repeated",
        "7-12",
        lambda r: r.join_rule("knock").member(DAVE, "knock").membership(DAVE, "knock"),
    ),
    (
        "a stranger knocks at a knock_restricted room",
        "10-12",
        lambda r: r.join_rule("knock_restricted").membership(DAVE, "knock"),
    ),
]

# The number of the rule that rejects each, by room version.
REJECTED: list[tuple[str, str, Scene]] = [
    (
        "there is no state key",
        "1-5:5.1 6-11:4.1 12:5.1",
        lambda r: r.event("m.room.member", {"membership": "join"}),
    ),
    (
        "there is no membership",
        "1-5:5.1 6-11:4.1 12:5.1",
        lambda r: r.event("m.room.member", {}, state_key=ALICE),
    ),
    # membership invite
    (
        "a stranger invites",
        "1-5:5.3.2 6-7:4.3.2 8-11:4.4.2 12:5.4.2",
        lambda r: r.membership("@eve:a.example", "invite", by=DAVE),
    ),
    (
        "a member is invited",
        "1-5:5.3.3 6-7:4.3.3 8-11:4.4.3 12:5.4.3",
        lambda r: r.membership(CAROL, "invite", by=BOB),
    ),
    (
        "a banned user is invited",
        "1-5:5.3.3 6-7:4.3.3 8-11:4.4.3 12:5.4.3",
        lambda r: r.member(DAVE, "ban").membership(DAVE, "invite", by=BOB),
    ),
    (
        "a member below the invite level invites",
        "1-5:5.3.5 6-7:4.3.5 8-11:4.4.5 12:5.4.5",
        lambda r: r.more_levels(invite=51).membership(DAVE, "invite", by=BOB),
    ),
    # membership leave
    (
        "a stranger leaves",
        "1-5:5.4.1 6-7:4.4.1 8-11:4.5.1 12:5.5.1",
        lambda r: r.membership(DAVE, "leave"),
    ),
    (
        "a banned user leaves",
        "1-5:5.4.1 6-7:4.4.1 8-11:4.5.1 12:5.5.1",
        lambda r: r.member(DAVE, "ban").membership(DAVE, "leave"),
    ),
    (
        "a knock that cannot have been is taken back",
        "1-5:5.4.1 6:4.4.1",
        lambda r: r.member(DAVE, "knock").membership(DAVE, "leave"),
    ),
    (
        "a stranger kicks",
        "1-5:5.4.2 6-7:4.4.2 8-11:4.5.2 12:5.5.2",
        lambda r: r.membership(CAROL, "leave", by=DAVE),
    ),
    (
        "a member below the ban level unbans",
        "1-5:5.4.3 6-7:4.4.3 8-11:4.5.3 12:5.5.3",
        lambda r: (
            r.more_levels(ban=51).member(DAVE, "ban").membership(DAVE, "leave", by=BOB)
        ),
    ),
    (
        "a member below the kick level unbans",
        "1-5:5.4.5 6-7:4.4.5 8-11:4.5.5 12:5.5.5",
        lambda r: (
            r.more_levels(kick=51).member(DAVE, "ban").membership(DAVE, "leave", by=BOB)
        ),
    ),
    (
        "a member below the kick level kicks",
        "1-5:5.4.5 6-7:4.4.5 8-11:4.5.5 12:5.5.5",
        lambda r: r.more_levels(kick=51).membership(CAROL, "leave", by=BOB),
    ),
    (
        "an equal is kicked",
        "1-5:5.4.5 6-7:4.4.5 8-11:4.5.5 12:5.5.5",
        lambda r: r.levels(users={BOB: 50, CAROL: 50}).membership(
            CAROL, "leave", by=BOB
        ),
    ),
    (
        "the creator is kicked",
        "1-5:5.4.5 6-7:4.4.5 8-11:4.5.5 12:5.5.5",
        lambda r: r.membership(ALICE, "leave", by=BOB),
    ),
    (
        "a creator kicks another",
        "12:5.5.5",
        lambda r: r.create(additional_creators=[BOB]).membership(
            BOB, "leave", by=ALICE
        ),
    ),
    # membership ban
    (
        "a stranger bans",
        "1-5:5.5.1 6-7:4.5.1 8-11:4.6.1 12:5.6.1",
        lambda r: r.membership(CAROL, "ban", by=DAVE),
    ),
    (
        "a member below the ban level bans",
        "1-5:5.5.3 6-7:4.5.3 8-11:4.6.3 12:5.6.3",
        lambda r: r.more_levels(ban=51).membership(CAROL, "ban", by=BOB),
    ),
    (
        "an equal is banned",
        "1-5:5.5.3 6-7:4.5.3 8-11:4.6.3 12:5.6.3",
        lambda r: r.levels(users={BOB: 50, CAROL: 50}).membership(CAROL, "ban", by=BOB),
    ),
    # membership knock
    (
        "nobody can knock yet",
        "1-5:5.6 6:4.6",
        lambda r: r.join_rule("knock").membership(DAVE, "knock"),
    ),
    (
        "a stranger knocks at an invite room",
        "7:4.6.1 8-11:4.7.1 12:5.7.1",
        lambda r: r.membership(DAVE, "knock"),
    ),
    (
        "a stranger knocks at a restricted room",
        "7:4.6.1 8-11:4.7.1 12:5.7.1",
        lambda r: r.join_rule("restricted").membership(DAVE, "knock"),
    ),
    (
        "the join rule knock_restricted is not known yet to knockers",
        "7:4.6.1 8-9:4.7.1",
        lambda r: r.join_rule("knock_restricted").membership(DAVE, "knock"),
    ),
    (
        "somebody knocks for somebody else",
        "7:4.6.2 8-11:4.7.2 12:5.7.2",
        lambda r: r.join_rule("knock").membership(DAVE, "knock", by=BOB),
    ),
    *(
        (
            f"whoever is {membership} knocks",
            "7:4.6.4 8-11:4.7.4 12:5.7.4",
            lambda r, membership=membership: (
                r.join_rule("knock").member(DAVE, membership).membership(DAVE, "knock")
            ),
        )
        for membership in ("ban", "invite", "join")
    ),
    # any other membership
    *(
        (
            f"the membership is {membership!r}",
            "1-5:5.6 6:4.6 7:4.7 8-11:4.8 12:5.8",
            lambda r, membership=membership: r.membership(CAROL, membership),
        )
        for membership in ("", "joined", None, 5, ["join"], {"join": True})
    ),
]


@pytest.mark.parametrize(("version", "scene"), allowed(ALLOWED))
def test_a_membership_is_allowed(version: str, scene: Scene) -> None:
    check(version, scene)


@pytest.mark.parametrize(("version", "rule", "scene"), rejected(REJECTED))
def test_a_membership_is_rejected(version: str, rule: str, scene: Scene) -> None:
    assert broken_rule(version, scene) == rule


@pytest.mark.parametrize("version", list(versions_in("1-12")))
def test_without_power_levels_the_creator_kicks_and_the_others_do_not(
    version: str,
) -> None:
    r = room(version).without(POWER_LEVELS)

    check_auth(r.version, r.membership(CAROL, "leave", by=ALICE), r.state)
    with pytest.raises(AuthRuleViolation):
        check_auth(r.version, r.membership(CAROL, "leave", by=BOB), r.state)


@pytest.mark.parametrize("membership", [None, 5, ["join"], {"join": 1}])
def test_a_malformed_membership_in_the_state_is_no_membership(
    membership: object,
) -> None:
    r = room("11").put(member_key(CAROL), {"membership": membership})

    with pytest.raises(AuthRuleViolation, match=r"RV11 4\.5\.1"):
        check_auth(r.version, r.membership(CAROL, "leave"), r.state)
