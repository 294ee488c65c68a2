"""Events of other servers, from untrusted JSON to what is stored (SS "Checks performed
on receipt of a PDU", the first three).

``receive_pdu`` checks format and hash and says, in ``key_needs``, which keys would
prove the event; ``check_signatures`` wants those keys. Both may run in threads.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.protocol.base64 import decode_base64
from tremula.protocol.errors import BadJson
from tremula.protocol.event_format import parse_pdu, redacts_of
from tremula.protocol.event_values import BuiltEvent, Event
from tremula.protocol.hashes import content_hash, encode_event_json, signed_bytes
from tremula.protocol.identifiers import ServerName
from tremula.protocol.redaction import redact
from tremula.protocol.room_versions import EventIdFormat, RoomVersion
from tremula.protocol.server_keys import KeyNeed, KnownKeys
from tremula.protocol.signing import (
    POLICY_KEY_ID,
    BadSignature,
    is_key_id,
    required_signers,
    verify_any,
)

# A server signs with one key; while it changes it, perhaps with two.
SIGNATURES_PER_SERVER_MAX = 8

_CLIENT_KEYS: Final = frozenset(
    {"content", "origin_server_ts", "room_id", "sender", "state_key", "type"}
)


class ReceivedEvent(Struct, frozen=True):
    """An event in the right format, its hash checked, its signatures not yet.

    ``stored`` is the redacted copy where the content did not match its hash
    (``is_redacted``). ``signatures`` has an entry for each server that must have signed
    the event: its signatures by their key IDs.
    """

    stored: BuiltEvent
    is_redacted: bool
    message: bytes
    signatures: Mapping[ServerName, Mapping[str, str]]
    enforce_key_validity: bool

    @property
    def event(self) -> Event:
        """What the rules need of it."""
        return self.stored.event

    def key_needs(self) -> list[KeyNeed]:
        """The keys that its signatures name."""
        return [
            KeyNeed(
                server_name,
                key_id,
                valid_at_ms=self.event.origin_server_ts,
                strict=self.enforce_key_validity,
            )
            for server_name, signatures in self.signatures.items()
            for key_id in signatures
        ]


def receive_pdu(
    version: RoomVersion, pdu: Mapping[str, Any], *, bounds_links: bool = True
) -> ReceivedEvent:
    """Check the format and the content hash of *pdu*, parsed by ``parse_json_exact``.

    What it has in ``unsigned`` nobody vouches for: it is left out. Takes some 100 µs.
    Without *bounds_links* it may name any number of previous and auth events.

    Raises:
        BadJson: it does not have the format of the room version.
        TooLarge: it, or one of its fields, is too large.
    """
    signed_pdu = {key: value for key, value in pdu.items() if key != "unsigned"}
    event = parse_pdu(version, signed_pdu, bounds_links=bounds_links)
    _check_storable(event)
    message = signed_bytes(version, signed_pdu)
    signatures = _required_signatures(version, signed_pdu)
    is_redacted = not _matches_hash(version, signed_pdu)
    if is_redacted:
        # "the receiving server should use the redacted copy it calculated"
        signed_pdu = redact(version, signed_pdu)
        event = replace(
            event,
            content=signed_pdu["content"],
            redacts=redacts_of(version, signed_pdu),
        )
    return ReceivedEvent(
        stored=_split(version, event, signed_pdu),
        is_redacted=is_redacted,
        message=message,
        signatures=signatures,
        enforce_key_validity=version.enforce_key_validity,
    )


def check_signatures(received: ReceivedEvent, known_keys: KnownKeys) -> None:
    """Check the signature of every server that must have signed the event.

    "If a signature is from an unknown or expired key, it is skipped."

    Raises:
        BadSignature: one is wrong, or one of those servers has none by a known key.
    """
    usable = {
        (need.server_name, need.key_id): known_keys[need.server_name, need.key_id]
        for need in received.key_needs()
        if need.is_met_by(known_keys.get((need.server_name, need.key_id)))
    }
    for server_name, signatures in received.signatures.items():
        try:
            verify_any(
                signatures,
                {
                    key_id: usable[server_name, key_id].public_key
                    for key_id in signatures
                    if (server_name, key_id) in usable
                },
                received.message,
            )
        except BadSignature as error:
            raise BadSignature(f"{server_name or 'no server'}: {error}") from error


def bad_signatures(
    batch: Iterable[ReceivedEvent], known_keys: KnownKeys
) -> dict[int, BadSignature]:
    """What is wrong with the signatures of a batch, by the place of the event in it.

    Meant for a thread: most of it is done without the interpreter's lock.
    """
    found: dict[int, BadSignature] = {}
    for index, received in enumerate(batch):
        try:
            check_signatures(received, known_keys)
        except BadSignature as error:
            found[index] = error
    return found


def _check_storable(event: Event) -> None:
    """Refuse what databases cannot hold, and events that come before themselves."""
    if "\0" in event.type or "\0" in (event.state_key or ""):
        raise BadJson("malformed event: NUL in type or state_key")
    if event.event_id in event.prev_events or event.event_id in event.auth_events:
        raise BadJson("malformed event: it refers to itself")


def _matches_hash(version: RoomVersion, pdu: Mapping[str, Any]) -> bool:
    try:
        given = decode_base64(pdu["hashes"]["sha256"])
    except ValueError:
        return False
    return given == content_hash(version, pdu)


def _required_signatures(
    version: RoomVersion, pdu: Mapping[str, Any]
) -> dict[ServerName, dict[str, str]]:
    given: Mapping[str, Mapping[str, str]] = pdu["signatures"]
    required: dict[ServerName, dict[str, str]] = {}
    for server_name in sorted(required_signers(version, pdu)):
        signatures = given.get(server_name, {})
        usable = {
            key: value
            for key, value in signatures.items()
            # A policy server's says nothing of who has sent the event.
            if is_key_id(key) and key != POLICY_KEY_ID
        }
        if len(usable) > SIGNATURES_PER_SERVER_MAX:
            raise BadJson("malformed event: too many signatures of one server")
        required[server_name] = usable
    return required


def _split(version: RoomVersion, event: Event, pdu: Mapping[str, Any]) -> BuiltEvent:
    """The event as it is stored; ``pdu_json`` puts the two halves together again.

    Keys that the format does not know go to the servers' half: hashes cover them.
    """
    client_keys = _CLIENT_KEYS
    if event.redacts is not None and not version.redacts_in_content:
        client_keys |= {"redacts"}
    client = {key: value for key, value in pdu.items() if key in client_keys}
    client |= {"event_id": event.event_id, "room_id": event.room_id}
    server = {key: value for key, value in pdu.items() if key not in client}
    if version.event_ids is not EventIdFormat.DOMAIN and "event_id" in pdu:
        server["event_id"] = pdu["event_id"]
    return BuiltEvent(
        event=event,
        client_json=encode_event_json(version, client),
        server_json=encode_event_json(version, server),
    )
