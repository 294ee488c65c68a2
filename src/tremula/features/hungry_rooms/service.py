"""Sends messages of bridges by the thousand."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tremula.features.hungry_rooms.authority import Authority
from tremula.features.receipts.service import Receipts
from tremula.infra.http import Requester
from tremula.infra.slots import CallTypes, Slots
from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.rooms.batches import Batch, Batches, BatchEvent, Direction

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
            Forbidden: the room federates, the requester is not in it, or somebody is
                none of their users.
            InvalidParam, BadJson, TooLarge: something is no message.
        """
        appservice = self._authority.appservice(requester)
        view = await self._authority.own_room(requester, room_id)
        reader = request.mark_read_by
        senders = [each.sender for each in request.events]
        self._authority.check_users(
            appservice, [*senders, *([reader] if reader else ())]
        )
        if reader is not None and not view.is_joined(reader):
            raise Forbidden(f"{reader} is not in the room")
        batch = Batch(
            tuple(request.events), request.direction, appservice.id, request.notifies
        )
        command = SendBatch(batch, reader)
        event_ids: list[EventId] = await self._slots.call(_SLOT_KIND, room_id, command)
        return event_ids

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
