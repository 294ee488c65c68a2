"""The authorisation rules on invites by third-party identifier (RV1 rule 5.3.1).

Such an invite is no decision of its sender's server: it is allowed because the
identity server that the ``m.room.third_party_invite`` names has signed that the
invited user owns the identifier.
"""

from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any

from tremula.protocol.auth_rule_numbers import rule_numbers, violation
from tremula.protocol.auth_state import AuthState
from tremula.protocol.base64 import decode_base64
from tremula.protocol.errors import AuthRuleViolation, BadJson
from tremula.protocol.events import Event
from tremula.protocol.room_versions import RoomVersion
from tremula.protocol.signing import ALGORITHM, BadSignature, verify_json

# An event of 64 KiB can name hundreds of keys and of signatures. Invites have one of
# either, at most a few; each pair costs one verification.
_VERIFICATIONS_MAX = 64


def check_third_party_invite(
    version: RoomVersion, event: Event, target: str, auth: AuthState
) -> None:
    """RV1 rule 5.3.1: "If content has a third_party_invite property".

    Raises:
        AuthRuleViolation: the proof is missing, or is not one for *target*.
    """
    if auth.membership(target) == "ban":
        raise _violation(version, 1, f"{target} is banned from this room")
    signed = _signed_of(event.content["third_party_invite"])
    if signed is None:
        raise _violation(version, 2, "third_party_invite has no signed object")
    token = signed.get("token")
    if "mxid" not in signed or not isinstance(token, str):
        raise _violation(version, 3, "third_party_invite needs a mxid and a token")
    if signed["mxid"] != target:
        raise _violation(version, 4, "third_party_invite is for another user")
    invite = auth.get(("m.room.third_party_invite", token))
    if invite is None:
        raise _violation(version, 5, "the room has no such third-party invite")
    if invite.sender != event.sender:
        raise _violation(version, 6, "the third-party invite is of another sender")
    # "If any signature in signed matches any public key in the
    # m.room.third_party_invite event, allow." Otherwise, reject.
    if not _is_signed_by_any(signed, invite.content):
        raise _violation(version, 8, "third_party_invite is not signed by its keys")


def _violation(version: RoomVersion, rule: int, message: str) -> AuthRuleViolation:
    numbers = rule_numbers(version)
    return violation(version, (numbers.member, numbers.invite, 1, rule), message)


def _signed_of(third_party_invite: object) -> dict[str, Any] | None:
    if not isinstance(third_party_invite, dict):
        return None
    signed = third_party_invite.get("signed")
    return signed if isinstance(signed, dict) else None


def _is_signed_by_any(signed: dict[str, Any], invite: Mapping[str, Any]) -> bool:
    pairs = product(_signatures(signed), _public_keys(invite))
    return any(
        _is_signed_by(signed, server_name, key_id, public_key)
        for (server_name, key_id), public_key in islice(pairs, _VERIFICATIONS_MAX)
    )


def _is_signed_by(
    signed: dict[str, Any], server_name: str, key_id: str, public_key: bytes
) -> bool:
    try:
        verify_json(signed, server_name, {key_id: public_key})
    except (BadSignature, BadJson):
        return False
    return True


def _signatures(signed: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The ``(server name, key ID)`` of every signature."""
    signatures = signed.get("signatures")
    if not isinstance(signatures, dict):
        return
    for server_name, by_key in signatures.items():
        if isinstance(by_key, dict):
            for key_id in by_key:
                if key_id.startswith(f"{ALGORITHM}:"):
                    yield server_name, key_id


def _public_keys(invite: Mapping[str, Any]) -> Iterator[bytes]:
    """``public_key`` and the ``public_key`` of each of ``public_keys``."""
    encoded = [invite.get("public_key")]
    listed = invite.get("public_keys")
    if isinstance(listed, list):
        encoded += (each.get("public_key") for each in listed if isinstance(each, dict))
    for text in encoded:
        if isinstance(text, str):
            try:
                yield decode_base64(text)
            except ValueError:  # no key at all, as good as not there
                continue
