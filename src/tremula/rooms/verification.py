"""Checks what other servers send as events: format, hash, signatures.

These are the first three of SS "Checks performed on receipt of a PDU"; the room's state
judges what passes them.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Final, Protocol

import structlog
from msgspec import Struct, field

from tremula.infra.handovers import Handovers
from tremula.protocol.errors import BadJson, MatrixError
from tremula.protocol.identifiers import RoomId
from tremula.protocol.received_events import (
    ReceivedEvent,
    bad_signatures,
    receive_pdu,
)
from tremula.protocol.room_versions import RoomVersion
from tremula.protocol.server_keys import KeyNeed, KnownKeys

log = structlog.get_logger(__name__)

_BATCH: Final = 200
"""How many events a thread checks in one go."""

_FEW: Final = 10
"""As many as are handed over with those of other rooms."""

_LOGGED_MAX: Final = 5


class VerifyKeySource(Protocol):
    """Has the keys of all servers; the server_keys feature implements it."""

    async def verify_keys(self, needs: Collection[KeyNeed]) -> KnownKeys:
        """The keys that meet *needs*; a key that could not be had is left out."""
        ...


class Refused(Struct, frozen=True):
    """Why something is no event that this server could take in."""

    reason: str


Verified = ReceivedEvent | Refused
ReadPdu = Callable[[RoomVersion, Mapping[str, object]], ReceivedEvent]


class EventVerifier(Struct, frozen=True):
    """Checks events, in threads: most of it is done without the interpreter's lock."""

    keys: VerifyKeySource
    _handovers: Handovers = field(default_factory=Handovers)

    async def verify(
        self,
        version: RoomVersion,
        pdus: Sequence[object],
        *,
        read_pdu: ReadPdu = receive_pdu,
    ) -> list[Verified]:
        """What each of *pdus* is, in their order; parsed by ``parse_json_exact``.

        The keys of all of them are asked for at once.
        """
        found: list[Verified] = []
        for start in range(0, len(pdus), _BATCH):
            part = pdus[start : start + _BATCH]
            read = partial(_read, version, part, read_pdu)
            found += await self._in_thread(read, count=len(part))
        received = [each for each in found if isinstance(each, ReceivedEvent)]
        needs = set(chain.from_iterable(each.key_needs() for each in received))
        known_keys = await self.keys.verify_keys(needs)
        for start in range(0, len(found), _BATCH):
            part_of_found = found[start : start + _BATCH]
            checked = partial(_checked, part_of_found, known_keys)
            found[start : start + _BATCH] = await self._in_thread(
                checked, count=len(part_of_found)
            )
        return found

    async def of_room(
        self,
        version: RoomVersion,
        room_id: RoomId,
        pdus: Sequence[object],
        *,
        read_pdu: ReadPdu = receive_pdu,
    ) -> list[ReceivedEvent]:
        """Those of *pdus* that are events of the room *room_id*; each of them once."""
        verified = await self.verify(version, pdus, read_pdu=read_pdu)
        refused = [each.reason for each in verified if isinstance(each, Refused)]
        events = {
            each.event.event_id: each
            for each in verified
            if isinstance(each, ReceivedEvent) and each.event.room_id == room_id
        }
        if refused:
            log.info(
                "events_left_out",
                room_id=room_id,
                count=len(refused),
                reasons=refused[:_LOGGED_MAX],
            )
        return list(events.values())

    async def _in_thread(
        self, work: Callable[[], list[Verified]], *, count: int
    ) -> list[Verified]:
        if count > _FEW:
            return await asyncio.to_thread(work)
        return await self._handovers.run(work)


def _read(
    version: RoomVersion, pdus: Sequence[object], read_pdu: ReadPdu
) -> list[Verified]:
    return [_read_one(version, pdu, read_pdu) for pdu in pdus]


def _read_one(version: RoomVersion, pdu: object, read_pdu: ReadPdu) -> Verified:
    try:
        if not isinstance(pdu, dict):
            raise BadJson("an event must be an object")
        return read_pdu(version, pdu)
    except MatrixError as error:
        return Refused(error.message)


def _checked(verified: Sequence[Verified], known_keys: KnownKeys) -> list[Verified]:
    received = [each for each in verified if isinstance(each, ReceivedEvent)]
    bad = bad_signatures(received, known_keys)
    refused = {id(received[index]): str(error) for index, error in bad.items()}
    return [
        Refused(refused[id(each)]) if id(each) in refused else each for each in verified
    ]
