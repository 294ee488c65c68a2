"""Stored events as servers send them to each other.

While this server is alone in a room, it does not sign the events that it writes
(`Room.stage`), which would be a fifth of what a message costs. They are signed when
another server is given them: no ID depends on it, and Ed25519 signs the same alike.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import orjson
from msgspec import Struct

from tremula.infra.db import Reader, Row
from tremula.infra.journal import Journal
from tremula.protocol.events import pdu_json
from tremula.protocol.hashes import encode_event_json
from tremula.protocol.room_versions import RoomVersion
from tremula.protocol.signing import countersign_event
from tremula.rooms import graph_storage
from tremula.rooms.graph_storage import Signed
from tremula.rooms.staging import OwnServer
from tremula.rooms.whole_events import portions


class WirePdus(Struct, frozen=True):
    """Reads the events of rooms for other servers."""

    db: Reader
    journal: Journal
    own: OwnServer

    async def of(self, version: RoomVersion, nids: Collection[int]) -> list[bytes]:
        """The events *nids* of a room of *version* as canonical JSON, in their order.

        One query for 500 events, which are put together in a thread. What is signed
        now is stored so: nobody can have it signed again and again.
        """
        found: dict[int, bytes] = {}
        for part in portions(nids):
            rows = await graph_storage.whole_events(self.db, part)
            pdus, signed = await asyncio.to_thread(_encoded, version, rows, self.own)
            found |= pdus
            if signed:
                unit = self.journal.unit()
                graph_storage.update_signed(unit, signed)
                await self.journal.commit(unit)
        return [found[nid] for nid in nids if nid in found]


def signed_pdu(
    version: RoomVersion, client_json: bytes, server_json: bytes, own: OwnServer
) -> dict[str, Any]:
    """The PDU that the halves of a stored event make, signed if it was not."""
    pdu = pdu_json(version, client_json, server_json)
    return _sign(version, pdu, own) if _is_unsigned(pdu) else pdu


def _encoded(
    version: RoomVersion, rows: Sequence[Row], own: OwnServer
) -> tuple[dict[int, bytes], list[Signed]]:
    pdus: dict[int, bytes] = {}
    signed: list[Signed] = []
    for nid, _, _, client_json, server_json in rows:
        pdu = pdu_json(version, client_json, server_json)
        if _is_unsigned(pdu):
            pdu = _sign(version, pdu, own)
            signatures = b',"signatures":%b}' % orjson.dumps(pdu["signatures"])
            signed.append(Signed(nid, server_json[:-1] + signatures, server_json))
        pdus[nid] = encode_event_json(version, pdu)
    return pdus, signed


def _is_unsigned(pdu: dict[str, Any]) -> bool:
    # In a room that is only ever this server's, events are not even hashed.
    return "signatures" not in pdu and "hashes" in pdu


def _sign(version: RoomVersion, pdu: dict[str, Any], own: OwnServer) -> dict[str, Any]:
    return countersign_event(version, pdu, own.name, own.key)
