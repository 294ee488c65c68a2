"""Which number a rule has in which room version.

Most authorisation rules are the same in all versions; their numbers are not. A
violation names its rule as ``RV11 4.3.2``: room version 11, rule 4.3.2.
"""

from typing import Final

from msgspec import Struct

from tremula.protocol.errors import (
    AuthRuleViolation,
    MalformedEvent,
    UnauthorisedJoin,
)
from tremula.protocol.room_versions import RoomVersion

NOT_JOINED: Final = "you are not in this room"
"""What several rules say to a sender."""


class RuleNumbers(Struct, frozen=True):
    """The numbers of one room version's rules that differ from others'."""

    auth_events: int
    federate: int
    member: int
    sender_is_joined: int
    third_party_invite: int
    required_level: int
    state_key_of_user: int
    power_levels: int
    redaction: int  # until room version 2

    # Within `member`
    join: int
    invite: int
    leave: int
    ban: int
    knock: int  # from 7 on
    unknown_membership: int

    # Within `power_levels`
    users_shape: int
    changes: int  # of single levels; changes of entries follow


def rule_numbers(version: RoomVersion) -> RuleNumbers:
    """The numbers of *version*'s rules."""
    # RV12 puts a rule on the room ID before all those of the room's state, RV1 to
    # RV5 one on aliases before those of memberships.
    auth_events = 3 if version.room_id_is_create_hash else 2
    federate = auth_events + 1
    member = federate + (2 if version.alias_auth_rule else 1)
    # RV8 puts join_authorised_via_users_server before the single memberships.
    join = 3 if version.restricted else 2
    # RV10 checks single levels and entries before `users`, RV12 the creators after.
    users_shape = 3 if version.integer_power_levels else 1
    return RuleNumbers(
        auth_events=auth_events,
        federate=federate,
        member=member,
        sender_is_joined=member + 1,
        third_party_invite=member + 2,
        required_level=member + 3,
        state_key_of_user=member + 4,
        power_levels=member + 5,
        redaction=member + 6,
        join=join,
        invite=join + 1,
        leave=join + 2,
        ban=join + 3,
        knock=join + 4,
        unknown_membership=join + (5 if version.knock else 4),
        users_shape=users_shape,
        changes=users_shape + (3 if version.privileged_creators else 2),
    )


def violation(
    version: RoomVersion, number: tuple[int, ...], message: str
) -> AuthRuleViolation:
    """The violation of rule *number*, such as ``(4, 3, 2)``, of *version*."""
    return AuthRuleViolation(_name(version, number), message)


def unauthorised(
    version: RoomVersion, number: tuple[int, ...], message: str
) -> UnauthorisedJoin:
    """The same by a join for which nobody vouches."""
    return UnauthorisedJoin(_name(version, number), message)


def malformed(
    version: RoomVersion, number: tuple[int, ...], message: str
) -> MalformedEvent:
    """The same by an event that nobody may send."""
    return MalformedEvent(_name(version, number), message)


def _name(version: RoomVersion, number: tuple[int, ...]) -> str:
    return f"RV{version.id} {'.'.join(map(str, number))}"
