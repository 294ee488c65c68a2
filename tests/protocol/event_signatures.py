"""Checks the signatures of events by keys that are given as such."""

from collections.abc import Mapping
from typing import Any

from tremula.protocol.hashes import signed_bytes
from tremula.protocol.identifiers import ServerName
from tremula.protocol.room_versions import RoomVersion
from tremula.protocol.signing import (
    BadSignature,
    VerifyKeys,
    required_signers,
    verify_any,
)


def verify_event_signatures(
    version: RoomVersion,
    pdu: Mapping[str, Any],
    verify_keys: Mapping[ServerName, VerifyKeys],
) -> None:
    """Check the signatures of all servers that must have signed the event.

    Raises:
        BadSignature: one is wrong, or missing.
    """
    message = signed_bytes(version, pdu)
    for server_name in required_signers(version, pdu):
        signatures = pdu["signatures"].get(server_name)
        if signatures is None:
            raise BadSignature(f"not signed by {server_name}")
        verify_any(signatures, verify_keys.get(server_name, {}), message)
