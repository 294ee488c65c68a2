"""Every room version as a frozen value that carries its own rules (RV1 to RV12).

Code asks a ``RoomVersion`` what holds in it and never compares version numbers.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from tremula.protocol.errors import UnsupportedRoomVersion


class EventIdFormat(StrEnum):
    """How events get their IDs."""

    DOMAIN = "domain"  # $opaque_id:domain, chosen by the sending server
    BASE64 = "base64"  # the reference hash in standard Base64: may hold "/" and "+"
    URLSAFE = "urlsafe"  # the reference hash in URL-safe Base64


class StateResolution(StrEnum):
    """The algorithm that resolves forked state."""

    V1 = "1"
    V2 = "2"
    V2_1 = "2.1"


# The content of which nothing is stripped.
ALL_KEYS: frozenset[str] | None = None


class RedactionRules(Struct, frozen=True):
    """What a redacted event keeps (RVx "Redactions")."""

    top_level: frozenset[str]
    # {event type: content keys}; ALL_KEYS keeps them all, a type not named keeps none.
    content: Mapping[str, frozenset[str] | None]
    # {event type: {content key: keys kept of that object}}
    nested: Mapping[str, Mapping[str, frozenset[str]]]


class RoomVersion(Struct, frozen=True, kw_only=True):
    """The rules of one room version.

    The comments name the first (or last) version with the rule as given.
    """

    id: str

    # Event format and identifiers
    event_ids: EventIdFormat
    redaction: RedactionRules
    strict_canonical_json: bool  # 6+: integers only, within ±(2^53-1)
    depth_max: int  # 2^63-1; from 6 on 2^53-1
    redacts_in_content: bool  # 11+: content.redacts instead of a top-level key
    room_id_is_create_hash: bool  # 12+: and the create event has no room_id

    # Signatures
    enforce_key_validity: bool  # 5+: the key must be valid at origin_server_ts

    # State
    state_resolution: StateResolution

    # Authorisation rules
    alias_auth_rule: bool  # 1-5: m.room.aliases belongs to the state_key's server
    redaction_auth_rule: bool  # 1-2: redactions are decided by the auth rules
    limit_notification_levels: bool  # 6+: power level changes of `notifications`
    knock: bool  # 7+: membership and join rule `knock`
    restricted: bool  # 8+: join rule `restricted`
    knock_restricted: bool  # 10+: join rule `knock_restricted`
    integer_power_levels: bool  # 10+: no strings or floats as levels
    implicit_creator: bool  # 11+: the create event's sender, not content.creator
    privileged_creators: bool  # 12+: infinite power, content.additional_creators
    create_in_auth_events: bool  # until 11: the create event is an auth event


_POWER_LEVEL_KEYS = frozenset(
    {
        "ban",
        "events",
        "events_default",
        "kick",
        "redact",
        "state_default",
        "users",
        "users_default",
    }
)

_REDACTION_V1 = RedactionRules(
    top_level=frozenset(
        {
            "event_id",
            "type",
            "room_id",
            "sender",
            "state_key",
            "content",
            "hashes",
            "signatures",
            "depth",
            "prev_events",
            "prev_state",
            "auth_events",
            "origin",
            "origin_server_ts",
            "membership",
        }
    ),
    content={
        "m.room.member": frozenset({"membership"}),
        "m.room.create": frozenset({"creator"}),
        "m.room.join_rules": frozenset({"join_rule"}),
        "m.room.power_levels": _POWER_LEVEL_KEYS,
        "m.room.aliases": frozenset({"aliases"}),
        "m.room.history_visibility": frozenset({"history_visibility"}),
    },
    nested={},
)
_REDACTION_V6 = replace(
    _REDACTION_V1,
    content={
        event_type: keys
        for event_type, keys in _REDACTION_V1.content.items()
        if event_type != "m.room.aliases"
    },
)
_REDACTION_V8 = replace(
    _REDACTION_V6,
    content={
        **_REDACTION_V6.content,
        "m.room.join_rules": frozenset({"join_rule", "allow"}),
    },
)
_REDACTION_V9 = replace(
    _REDACTION_V8,
    content={
        **_REDACTION_V8.content,
        "m.room.member": frozenset({"membership", "join_authorised_via_users_server"}),
    },
)
_REDACTION_V11 = replace(
    _REDACTION_V9,
    top_level=_REDACTION_V9.top_level - {"origin", "membership", "prev_state"},
    content={
        **_REDACTION_V9.content,
        "m.room.create": ALL_KEYS,
        "m.room.power_levels": _POWER_LEVEL_KEYS | {"invite"},
        "m.room.redaction": frozenset({"redacts"}),
    },
    nested={"m.room.member": {"third_party_invite": frozenset({"signed"})}},
)

_V1 = RoomVersion(
    id="1",
    event_ids=EventIdFormat.DOMAIN,
    redaction=_REDACTION_V1,
    strict_canonical_json=False,
    depth_max=2**63 - 1,
    redacts_in_content=False,
    room_id_is_create_hash=False,
    enforce_key_validity=False,
    state_resolution=StateResolution.V1,
    alias_auth_rule=True,
    redaction_auth_rule=True,
    limit_notification_levels=False,
    knock=False,
    restricted=False,
    knock_restricted=False,
    integer_power_levels=False,
    implicit_creator=False,
    privileged_creators=False,
    create_in_auth_events=True,
)
_V2 = replace(_V1, id="2", state_resolution=StateResolution.V2)
_V3 = replace(_V2, id="3", event_ids=EventIdFormat.BASE64, redaction_auth_rule=False)
_V4 = replace(_V3, id="4", event_ids=EventIdFormat.URLSAFE)
_V5 = replace(_V4, id="5", enforce_key_validity=True)
_V6 = replace(
    _V5,
    id="6",
    redaction=_REDACTION_V6,
    strict_canonical_json=True,
    depth_max=2**53 - 1,
    alias_auth_rule=False,
    limit_notification_levels=True,
)
_V7 = replace(_V6, id="7", knock=True)
_V8 = replace(_V7, id="8", redaction=_REDACTION_V8, restricted=True)
_V9 = replace(_V8, id="9", redaction=_REDACTION_V9)
_V10 = replace(_V9, id="10", knock_restricted=True, integer_power_levels=True)
_V11 = replace(
    _V10,
    id="11",
    redaction=_REDACTION_V11,
    redacts_in_content=True,
    implicit_creator=True,
)
_V12 = replace(
    _V11,
    id="12",
    room_id_is_create_hash=True,
    state_resolution=StateResolution.V2_1,
    privileged_creators=True,
    create_in_auth_events=False,
)

ROOM_VERSIONS: dict[str, RoomVersion] = {
    version.id: version
    for version in (_V1, _V2, _V3, _V4, _V5, _V6, _V7, _V8, _V9, _V10, _V11, _V12)
}

DEFAULT_ROOM_VERSION = "12"


def get_room_version(raw: object) -> RoomVersion:
    """The room version named *raw*.

    Raises:
        UnsupportedRoomVersion: there is no such version.
    """
    version = ROOM_VERSIONS.get(raw) if isinstance(raw, str) else None
    if version is None:
        raise UnsupportedRoomVersion("the room version is not supported")
    return version
