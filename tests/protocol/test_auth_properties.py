"""No event and no state, however malformed, breaks the authorisation rules."""

from contextlib import suppress
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.protocol.auth_room import ALICE, BOB, CAROL, DAVE, Room
from tremula.protocol.auth_rules import check_auth
from tremula.protocol.auth_selection import auth_event_keys, check_auth_events
from tremula.protocol.errors import AuthRuleViolation
from tremula.protocol.power_levels import PowerLevels, user_level
from tremula.protocol.room_state import (
    CREATE,
    JOIN_RULES,
    POWER_LEVELS,
    member_key,
)
from tremula.protocol.room_versions import ROOM_VERSIONS

USERS = [ALICE, BOB, CAROL, DAVE]
TYPES = [
    "m.room.create",
    "m.room.member",
    "m.room.power_levels",
    "m.room.join_rules",
    "m.room.third_party_invite",
    "m.room.aliases",
    "m.room.redaction",
    "m.text",
]
# The keys that a rule reads somewhere.
KEYS = [
    "additional_creators",
    "creator",
    "m.federate",
    "room_version",
    "predecessor",
    "membership",
    "join_authorised_via_users_server",
    "third_party_invite",
    "signed",
    "mxid",
    "token",
    "signatures",
    "public_key",
    "public_keys",
    "join_rule",
    "users",
    "users_default",
    "events",
    "events_default",
    "state_default",
    "notifications",
    "ban",
    "kick",
    "redact",
    "invite",
    *USERS,
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["join", "invite", "leave", "ban", "knock", "public", "token"]),
    st.sampled_from(["50", " +7 ", "restricted", "knock_restricted", *USERS]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=5)), inner),
    ),
    max_leaves=6,
)
CONTENTS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5)
VERSIONS = st.sampled_from(sorted(ROOM_VERSIONS))


@st.composite
def _rooms(draw: st.DrawFn) -> Room:
    """A room of which any part may be missing or hostile."""
    r = Room(ROOM_VERSIONS[draw(VERSIONS)])
    keys = [CREATE, POWER_LEVELS, JOIN_RULES, *map(member_key, USERS)]
    keys.append(("m.room.third_party_invite", "token"))
    for key in draw(st.lists(st.sampled_from(keys), max_size=3, unique=True)):
        event_id = r.state[CREATE].event_id if key == CREATE else ""
        r.put(key, draw(CONTENTS), event_id=event_id)
    return r


@given(
    _rooms(),
    st.sampled_from(TYPES),
    CONTENTS,
    st.sampled_from(USERS),
    st.one_of(st.none(), st.sampled_from(["", "token", "a.example", *USERS])),
)
def test_nothing_but_violations_is_raised(
    r: Room,
    event_type: str,
    content: dict[str, Any],
    sender: str,
    state_key: str | None,
) -> None:
    event = r.event(event_type, content, sender=sender, state_key=state_key)

    with suppress(AuthRuleViolation):
        check_auth(r.version, event, r.state, server_signed=lambda _: True)
    keys = auth_event_keys(r.version, event_type, state_key, sender, content)
    assert len(keys) == len(set(keys)) <= 10
    with suppress(AuthRuleViolation):
        check_auth_events(r.version, event, [r.state[k] for k in keys if k in r.state])


@given(VERSIONS, CONTENTS, CONTENTS)
def test_power_levels_are_integers_whatever_the_content(
    version_id: str, create: dict[str, Any], content: dict[str, Any]
) -> None:
    version = ROOM_VERSIONS[version_id]
    r = Room(version)
    r.put(CREATE, create, event_id=r.state[CREATE].event_id).levels(**content)

    levels = PowerLevels.of(version, r.state[CREATE], r.state[POWER_LEVELS])

    for user_id in USERS:
        assert type(levels.user(user_id)) is int
        one = user_level(version, r.state[CREATE], r.state[POWER_LEVELS], user_id)
        assert one == levels.user(user_id)
        assert type(levels.event(user_id, is_state=True)) is int
    for level in (levels.ban, levels.kick, levels.redact, levels.invite):
        assert type(level) is int


@given(_rooms(), CONTENTS)
def test_nobody_gains_power_by_changing_power_levels(
    r: Room, content: dict[str, Any]
) -> None:
    if POWER_LEVELS not in r.state:
        return
    event = r.new_levels(BOB, **content)
    try:
        check_auth(r.version, event, r.state)
    except AuthRuleViolation:
        return

    before = PowerLevels.of(r.version, r.state[CREATE], r.state[POWER_LEVELS])
    after = PowerLevels.of(r.version, r.state[CREATE], event)
    own = before.user(BOB)
    # Removing a negative users_default has no new value that a rule could check.
    assume(own >= 0)
    assert after.user(BOB) <= own
    for user_id in (ALICE, CAROL, DAVE):
        assert after.user(user_id) <= max(own, before.user(user_id))
