"""The rules on invites by third-party identifier (RV1 rule 5.3.1)."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.protocol.auth_room import ALICE, BOB, CAROL, DAVE, Room, room
from tremula.protocol import auth_third_party_invite
from tremula.protocol.auth_rules import check_auth
from tremula.protocol.base64 import encode_base64, encode_base64_urlsafe
from tremula.protocol.errors import AuthRuleViolation
from tremula.protocol.events import Event
from tremula.protocol.signing import SigningKey, sign_json

IDENTITY = "identity.example"
KEY = SigningKey.from_seed("ed25519:0", bytes(32))
OTHER_KEY = SigningKey.from_seed("ed25519:0", bytes([1]) * 32)
PUBLIC = encode_base64(KEY.public_key)
OTHER_PUBLIC = encode_base64(OTHER_KEY.public_key)

VERSIONS = ["1", "5", "6", "7", "8", "11", "12"]
CHAPTER = dict.fromkeys(["1", "5"], "5.3.1") | {
    "6": "4.3.1",
    "7": "4.3.1",
    "8": "4.4.1",
    "11": "4.4.1",
    "12": "5.4.1",
}


def _signed(**changes: object) -> dict[str, Any]:
    values = {"mxid": DAVE, "token": "token", **changes}
    return sign_json(values, IDENTITY, KEY)


@dataclass
class Proof:
    """An invite of Dave in Bob's name, and what the room says about it."""

    room: Room
    invite: dict[str, Any] = field(default_factory=lambda: {"public_key": PUBLIC})
    third_party_invite: object = field(default_factory=lambda: {"signed": _signed()})
    state_key: str = "token"
    sender: str = BOB

    def event(self) -> Event:
        key = ("m.room.third_party_invite", self.state_key)
        self.room.put(key, self.invite, sender=BOB)
        return self.room.membership(
            DAVE, "invite", by=self.sender, third_party_invite=self.third_party_invite
        )


def _check(proof: Proof) -> None:
    check_auth(proof.room.version, proof.event(), proof.room.state)


def _rejection(proof: Proof) -> str:
    with pytest.raises(AuthRuleViolation) as violation:
        _check(proof)
    return violation.value.rule


@pytest.mark.parametrize("version", VERSIONS)
def test_a_signed_invite_is_allowed_whatever_the_sender_is_now(version: str) -> None:
    _check(Proof(room(version)))
    _check(Proof(room(version).member(BOB, "leave")))
    _check(Proof(room(version).more_levels(invite=99)))


@pytest.mark.parametrize(
    "invite",
    [
        {"public_key": PUBLIC},
        {"public_key": PUBLIC + "="},
        {"public_key": encode_base64_urlsafe(KEY.public_key)},
        {"public_keys": [{"public_key": PUBLIC}]},
        {"public_key": OTHER_PUBLIC, "public_keys": [{"public_key": PUBLIC}]},
        {"public_key": PUBLIC, "public_keys": "none"},
        {"public_key": 5, "public_keys": [None, {}, "x", {"public_key": PUBLIC}]},
        {"public_key": "no Base64!", "public_keys": [{"public_key": PUBLIC}]},
    ],
)
def test_any_key_of_the_invite_suffices(invite: dict[str, Any]) -> None:
    _check(Proof(room("11"), invite=invite))


def test_any_signature_suffices() -> None:
    signed = sign_json(_signed(), "other.example", OTHER_KEY)
    signed["signatures"]["broken.example"] = "nothing"
    signed["signatures"]["odd.example"] = {"ed25519:1": 5, "rsa:1": "abcd"}

    _check(Proof(room("11"), third_party_invite={"signed": signed}))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_banned_user_is_not_invited(version: str) -> None:
    proof = Proof(room(version).member(DAVE, "ban"))

    assert _rejection(proof) == f"RV{version} {CHAPTER[version]}.1"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "third_party_invite",
    [None, {}, [], "signed", 5, {"signed": None}, {"signed": "x"}, {"signed": []}],
)
def test_an_invite_without_signed_is_rejected(
    version: str, third_party_invite: object
) -> None:
    proof = Proof(room(version), third_party_invite=third_party_invite)

    assert _rejection(proof) == f"RV{version} {CHAPTER[version]}.2"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "signed", [{}, {"mxid": DAVE}, {"token": "token"}, {"mxid": DAVE, "token": ["x"]}]
)
def test_an_invite_without_mxid_or_token_is_rejected(
    version: str, signed: object
) -> None:
    proof = Proof(room(version), third_party_invite={"signed": signed})

    assert _rejection(proof) == f"RV{version} {CHAPTER[version]}.3"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mxid", [CAROL, None, [DAVE]])
def test_an_invite_of_another_user_is_rejected(version: str, mxid: object) -> None:
    proof = Proof(room(version), third_party_invite={"signed": _signed(mxid=mxid)})

    assert _rejection(proof) == f"RV{version} {CHAPTER[version]}.4"


@pytest.mark.parametrize("version", VERSIONS)
def test_an_invite_that_the_room_does_not_have_is_rejected(version: str) -> None:
    proof = Proof(room(version), state_key="another token")

    assert _rejection(proof) == f"RV{version} {CHAPTER[version]}.5"


@pytest.mark.parametrize("version", VERSIONS)
def test_an_invite_of_another_sender_is_rejected(version: str) -> None:
    proof = Proof(room(version), sender=ALICE)

    assert _rejection(proof) == f"RV{version} {CHAPTER[version]}.6"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "invite",
    [
        {},
        {"public_key": OTHER_PUBLIC},
        {"public_key": "AAAA"},
        {"public_key": None, "public_keys": {"public_key": PUBLIC}},
        {"public_keys": [PUBLIC]},
    ],
)
def test_an_invite_signed_by_no_key_of_the_room_is_rejected(
    version: str, invite: dict[str, Any]
) -> None:
    proof = Proof(room(version), invite=invite)

    assert _rejection(proof) == f"RV{version} {CHAPTER[version]}.8"


@pytest.mark.parametrize(
    "signed",
    [
        {"mxid": DAVE, "token": "token"},
        {"mxid": DAVE, "token": "token", "signatures": []},
        {**_signed(), "more": "than was signed"},
        {**_signed(), "float": 0.5},
        {**_signed(), "signatures": {IDENTITY: {"ed25519:0": "AAAA"}}},
        {
            **_signed(),
            "signatures": {
                IDENTITY: {"rsa:0": _signed()["signatures"][IDENTITY]["ed25519:0"]}
            },
        },
    ],
)
def test_an_invite_without_a_right_signature_is_rejected(
    signed: dict[str, Any],
) -> None:
    proof = Proof(room("11"), third_party_invite={"signed": signed})

    assert _rejection(proof) == "RV11 4.4.1.8"


def test_many_keys_and_signatures_cost_few_verifications(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []
    monkeypatch.setattr(
        auth_third_party_invite, "_is_signed_by", lambda *args: tried.append(args)
    )
    signatures = {f"ed25519:{number}": "A" * 86 for number in range(300)}
    signed = {**_signed(), "signatures": {IDENTITY: signatures}}
    keys = [{"public_key": OTHER_PUBLIC} for _ in range(300)]
    proof = Proof(
        room("11"), invite={"public_keys": keys}, third_party_invite={"signed": signed}
    )

    assert _rejection(proof) == "RV11 4.4.1.8"
    assert len(tried) == 64
