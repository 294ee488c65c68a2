"""Stored events as servers send them to each other."""

import asyncio
from collections.abc import Collection, Sequence

from tremula.infra.db import Reader, Row
from tremula.protocol.events import pdu_json
from tremula.protocol.hashes import encode_event_json
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms import graph_storage
from tremula.rooms.whole_events import portions


async def wire_pdus(
    db: Reader, version: RoomVersion, nids: Collection[int]
) -> list[bytes]:
    """The events *nids* of a room of *version* as canonical JSON, in their order.

    One query for 500 events, which are put together in a thread.
    """
    found: dict[int, bytes] = {}
    for part in portions(nids):
        rows = await graph_storage.whole_events(db, part)
        found |= await asyncio.to_thread(_encoded, version, rows)
    return [found[nid] for nid in nids if nid in found]


def _encoded(version: RoomVersion, rows: Sequence[Row]) -> dict[int, bytes]:
    return {
        nid: encode_event_json(version, pdu_json(version, client_json, server_json))
        for nid, _, _, client_json, server_json in rows
    }
