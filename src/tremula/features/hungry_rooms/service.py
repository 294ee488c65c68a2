"""Sends messages of bridges by the thousand."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tremula.features.appservices.service import Appservice
from tremula.features.hungry_rooms.authority import Authority
from tremula.features.receipts.service import Receipts
from tremula.infra.http import Requester
from tremula.infra.slots import CallTypes, Slots
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.rooms.batches import Batch, Batches, BatchEvent, Direction
from tremula.rooms.view import RoomView

__all__ = ["Authority", "BatchRequest", "HungryRooms"]

_SLOT_KIND: Final = "room_batch"


class BatchRequest(Struct, frozen=True):
    """Messages, oldest first, and who has read them."""

    events: Sequence[BatchEvent]
    direction: Direction
    notifies: bool = False
    mark_read_by: UserId | None = None


class SendBatch(Struct, frozen=True):
    """The command that travels to the owner of a room's slot."""

    batch: Batch
    mark_read_by: UserId | None


class HungryRooms:
    """Has batches stored where the room's slot is held."""

    def __init__(
        self, authority: Authority, batches: Batches, receipts: Receipts, slots: Slots
    ) -> None:
        self._authority = authority
        self._batches = batches
        self._receipts = receipts
        self._slots = slots
        slots.register(_SLOT_KIND, self._do, CallTypes(SendBatch, list[EventId]))

    def check_appservice(self, requester: Requester) -> None:
        """Refuse whoever is no application service.

        Raises:
            Forbidden: the requester is none.
        """
        self._authority.appservice(requester)

    async def send_batch(
        self, requester: Requester, room_id: RoomId, request: BatchRequest
    ) -> list[EventId]:
        """Store messages of an application service: all or none, durable on return.

        Neither memberships nor power levels count. What has an ID that is in the room
        already stays as it is.

        Raises:
            Forbidden: the room federates, the requester is not in it, or a sender is
                none of their users.
            InvalidParam, BadJson, TooLarge: something is no message.
        """
        appservice = self._authority.appservice(requester)
        view = await self._authority.own_room(requester, room_id)
        self._authority.check_users(
            appservice, [each.sender for each in request.events]
        )
        batch = Batch(
            tuple(request.events), request.direction, appservice.id, request.notifies
        )
        command = SendBatch(batch, self._reader(appservice, view, request))
        event_ids: list[EventId] = await self._slots.call(_SLOT_KIND, room_id, command)
        return event_ids

    def _reader(
        self, appservice: Appservice, view: RoomView, request: BatchRequest
    ) -> UserId | None:
        """Who is marked to have read the batch.

        Bridges ask it of whoever is logged in to them, and may do it for few: refused,
        they would take the history for sent.
        """
        reader = request.mark_read_by
        if reader is None or not view.is_joined(reader):
            return None
        return reader if self._authority.speaks_for(appservice, reader) else None

    async def restate(
        self, appservice_id: str, room_id: RoomId, events: Sequence[BatchEvent]
    ) -> None:
        """Append what was said in other rooms of the application service, by whomever.

        Raises:
            NotFound, Forbidden: there is no such room, or it may federate.
        """
        batch = Batch(tuple(events), Direction.APPEND, appservice_id)
        await self._slots.call(_SLOT_KIND, room_id, SendBatch(batch, None))

    async def _do(self, room_id: str, command: SendBatch) -> list[EventId]:
        also = None
        if command.mark_read_by is not None:
            also = self._receipts.with_events(command.mark_read_by)
        return await self._batches.add(RoomId(room_id), command.batch, also)
