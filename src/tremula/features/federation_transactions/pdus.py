"""PDUs of other servers: sorted by room, verified, and handed to the room engine."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from msgspec import Struct

from tremula.features.federation_transactions.inbound_metrics import InboundMetrics
from tremula.infra.db import DatabaseUnavailable
from tremula.infra.together import together
from tremula.protocol.errors import MatrixError
from tremula.protocol.hashes import event_id_of
from tremula.protocol.identifiers import EventId, RoomId, ServerName
from tremula.protocol.received_events import ReceivedEvent
from tremula.protocol.room_versions import EventIdFormat, RoomVersion
from tremula.rooms.reader import RoomReader
from tremula.rooms.rooms import Rooms
from tremula.rooms.verification import EventVerifier, Refused
from tremula.rooms.view import RoomView

log = structlog.get_logger(__name__)

# {event_id: {} or {"error": why it was not accepted}}
Results = dict[str, dict[str, str]]


Withdraw = Callable[[ServerName, RoomId, Mapping[str, Any]], Awaitable[EventId | None]]
"""Takes back the invitation of one of our users to a room that this server is not in;
the ID of the event, or None if it does nothing of the kind.
"""


class InboundPdus(Struct, frozen=True):
    """Takes PDUs in: rooms at the same time, the events of a room in their order."""

    own: ServerName
    reader: RoomReader
    verifier: EventVerifier
    rooms: Rooms
    withdraw: Withdraw
    metrics: InboundMetrics

    async def receive(self, origin: ServerName, pdus: Sequence[Any]) -> Results:
        """Take in what *origin* sent; what became of each that has an event ID.

        *origin* may pass on events of other servers: each is verified by the keys of
        its sender's. What one of them does wrong is without effect on the others.

        Raises:
            DatabaseUnavailable, Unknown: some can't be stored now; *origin* is to send
                all of them again.
        """
        by_room: dict[str, list[dict[str, Any]]] = {}
        for pdu in pdus:
            room_id = pdu.get("room_id") if isinstance(pdu, dict) else None
            if isinstance(room_id, str):
                by_room.setdefault(room_id, []).append(pdu)
            else:
                self.metrics.pdu("malformed")
        found = await together(
            {
                room_id: self._receive_in(origin, RoomId(room_id), of_room)
                for room_id, of_room in by_room.items()
            }
        )
        results: Results = {}
        for of_room in found.values():
            if isinstance(of_room, Exception):
                raise of_room
            results |= of_room
        return results

    async def _receive_in(
        self, origin: ServerName, room_id: RoomId, pdus: Sequence[dict[str, Any]]
    ) -> Results | Exception:
        """What became of the PDUs of one room, or why they can't be stored now: other
        rooms are not to be left half-way for that.
        """
        try:
            view = await self.reader.find_room(room_id)
            if view is None or self.own not in view.joined_servers:
                return await self._take_outside(view, origin, room_id, pdus)
            # SS "Server Access Control Lists (ACLs)": "the PDU MUST be ignored with an
            # appropriate error".
            if not view.admits(origin):
                reason = "the room does not admit your server"
                return self._refuse_all(view, origin, room_id, pdus, reason)
            return await self._take(view, origin, pdus)
        except Exception as error:
            if _is_outage(error):
                self.metrics.pdus.labels("failed").inc(len(pdus))
                return error
            # CVE-2025-30355: a bug that one event meets must neither cost the others,
            # nor make the origin repeat the transaction for ever.
            if len(pdus) > 1:
                return await self._receive_singly(origin, room_id, pdus)
            log.exception("pdu_failed", origin=origin, room_id=room_id)
            self.metrics.pdu("failed")
            return {}

    async def _receive_singly(
        self, origin: ServerName, room_id: RoomId, pdus: Sequence[dict[str, Any]]
    ) -> Results | Exception:
        results: Results = {}
        for pdu in pdus:
            of_one = await self._receive_in(origin, room_id, [pdu])
            if isinstance(of_one, Exception):
                return of_one
            results |= of_one
        return results

    async def _take_outside(
        self,
        view: RoomView | None,
        origin: ServerName,
        room_id: RoomId,
        pdus: Sequence[dict[str, Any]],
    ) -> Results:
        """Of rooms that this server is not in, it hears who is not invited any more."""
        results: Results = {}
        refused: list[dict[str, Any]] = []
        for pdu in pdus:
            event_id = await self.withdraw(origin, room_id, pdu)
            if event_id is None:
                refused.append(pdu)
            else:
                self.metrics.pdu("accepted")
                results[event_id] = {}
        if refused:
            reason = f"this server {'is not in' if view else 'does not know'} the room"
            results |= self._refuse_all(view, origin, room_id, refused, reason)
        return results

    def _refuse_all(
        self,
        view: RoomView | None,
        origin: ServerName,
        room_id: RoomId,
        pdus: Sequence[dict[str, Any]],
        reason: str,
    ) -> Results:
        self.metrics.pdus.labels("refused").inc(len(pdus))
        log.info(
            "pdus_refused",
            origin=origin,
            room_id=room_id[:255],
            count=len(pdus),
            reason=reason,
        )
        version = view.version if view else None
        ids = [_event_id(version, pdu) for pdu in pdus]
        return {event_id: {"error": reason} for event_id in ids if event_id}

    async def _take(
        self, view: RoomView, origin: ServerName, pdus: Sequence[dict[str, Any]]
    ) -> Results:
        verified = await self.verifier.verify(view.version, pdus)
        results: Results = {}
        events: list[ReceivedEvent] = []
        for pdu, each in zip(pdus, verified, strict=True):
            if isinstance(each, Refused):
                self._refuse(view, origin, pdu, each.reason, results)
            else:
                events.append(each)
        if events:
            results |= await self._hand_over(view, origin, events)
        return results

    def _refuse(
        self,
        view: RoomView,
        origin: ServerName,
        pdu: Mapping[str, Any],
        reason: str,
        results: Results,
    ) -> None:
        self.metrics.pdu("refused")
        event_id = _event_id(view.version, pdu)
        log.info(
            "pdu_refused",
            origin=origin,
            room_id=view.room_id,
            event_id=event_id,
            reason=reason,
        )
        if event_id is not None:
            results[event_id] = {"error": reason}

    async def _hand_over(
        self, view: RoomView, origin: ServerName, events: Sequence[ReceivedEvent]
    ) -> Results:
        receipts = await self.rooms.receive(view.room_id, events, origin=origin)
        results: Results = {}
        for event_id, receipt in receipts.items():
            standing = receipt.standing
            self.metrics.pdu(
                "not_stored" if standing is None else standing.name.lower()
            )
            results[event_id] = (
                {} if receipt.reason is None else {"error": receipt.reason}
            )
        return results


def _is_outage(error: Exception) -> bool:
    """Whether it is neither the peer's fault nor a bug: it is gone in a moment."""
    if isinstance(error, MatrixError):
        return error.http_status == HTTPStatus.SERVICE_UNAVAILABLE
    return isinstance(error, DatabaseUnavailable)


def _event_id(version: RoomVersion | None, pdu: Mapping[str, Any]) -> str | None:
    """What the origin calls an event that is not taken in, as far as that is known."""
    if version is None or version.event_ids is EventIdFormat.DOMAIN:
        event_id = pdu.get("event_id")
        return event_id if isinstance(event_id, str) else None
    try:
        return event_id_of(version, pdu)
    except MatrixError:
        return None
