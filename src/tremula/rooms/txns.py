"""Transaction ids that devices have used in rooms (CS "Transaction identifiers")."""

import asyncio
from collections import OrderedDict
from typing import Final

from msgspec import Struct, field

from tremula.infra.db import Reader
from tremula.infra.journal import JournalUnit
from tremula.protocol.identifiers import EventId, UserId
from tremula.rooms import batches_storage, events_storage
from tremula.rooms.chosen_ids import check_places
from tremula.rooms.events import Draft

_DEVICES_MAX: Final = 20_000
_TXNS_PER_DEVICE_MAX: Final = 2_000

_Key = tuple[int, UserId, str]


class _OnItsWay(Struct, frozen=True):
    """An event that is being stored."""

    event_id: EventId
    unit: JournalUnit


class _Device(Struct):
    """What one device has sent to one room, by txn id and event type.

    ``complete`` means that there is nothing else in the database; of what is on its way
    that knows nothing yet.
    """

    sent: dict[tuple[str, str], EventId | _OnItsWay] = field(
        default_factory=dict[tuple[str, str], EventId | _OnItsWay]
    )
    complete: bool = True
    on_their_way: int = 0


class SentTxns:
    """Finds the event of a repeated request.

    The first event that a device sends to a room costs one query; later ones none,
    as long as this process is the only writer of the room.
    """

    def __init__(self, db: Reader) -> None:
        self._db = db
        self._devices: OrderedDict[_Key, _Device] = OrderedDict()

    def look_again(self) -> None:
        """Others may have written to some rooms: trust memory for no more than what
        is on its way.
        """
        for device in self._devices.values():
            device.complete = False

    async def find(self, room_nid: int, draft: Draft) -> EventId | None:
        """The durable event that *draft*'s transaction id was used for before, or the
        ID that was chosen for it.

        Raises:
            Forbidden: that is an event of another room.
        """
        if draft.event_id is not None:
            places = await batches_storage.places_of(self._db, [draft.event_id])
            if check_places(places, room_nid):
                return draft.event_id
        if draft.txn is None:
            return None
        device = await self._device((room_nid, draft.sender, draft.txn.device_id))
        key = (draft.txn.txn_id, draft.type)
        if key not in device.sent and not device.complete:
            stored = await events_storage.find_txn(
                self._db,
                room_nid,
                draft.sender,
                draft.txn.device_id,
                draft.txn.txn_id,
                draft.type,
            )
            if stored is not None:
                return stored
            # A repetition may have begun while this one looked.
        sent = device.sent.get(key)
        if isinstance(sent, _OnItsWay):
            assert sent.unit.future is not None
            await asyncio.shield(sent.unit.future)
            return sent.event_id
        return sent

    def begin(
        self, unit: JournalUnit, room_nid: int, draft: Draft, event_id: EventId
    ) -> None:
        """*draft* became *event_id*, which *unit* stores when it is submitted next."""
        assert draft.txn is not None
        place = (room_nid, draft.sender, draft.txn.device_id)
        device = self._devices.get(place)
        if device is None:
            # Forgotten since it was looked up.
            device = self._devices[place] = _Device(complete=False)
        key = (draft.txn.txn_id, draft.type)
        device.sent[key] = _OnItsWay(event_id, unit)
        device.on_their_way += 1
        unit.on_commit(lambda: _succeed(device, key, event_id))
        unit.on_failure(lambda: _fail(device, key))

    async def _device(self, key: _Key) -> _Device:
        device = self._devices.get(key)
        if device is None:
            limit = _TXNS_PER_DEVICE_MAX
            rows = await events_storage.txns_of_device(self._db, *key, limit=limit)
            device = self._devices.setdefault(key, _Device())
            for txn_id, event_type, event_id in rows:
                device.sent.setdefault((txn_id, event_type), EventId(event_id))
            device.complete = device.complete and len(rows) < limit
            if len(self._devices) > _DEVICES_MAX:
                self._forget_oldest_device()
        elif len(device.sent) > 2 * _TXNS_PER_DEVICE_MAX:
            _forget_oldest(device)
        return device

    def _forget_oldest_device(self) -> None:
        for key, device in self._devices.items():
            if not device.on_their_way:
                del self._devices[key]
                return


async def find_sent(db: Reader, room_nid: int, draft: Draft) -> EventId | None:
    """The durable event that *draft*'s transaction id was used for, for who does not
    write to the room. One query.
    """
    if draft.txn is None:
        return None
    return await events_storage.find_txn(
        db,
        room_nid,
        draft.sender,
        draft.txn.device_id,
        draft.txn.txn_id,
        draft.type,
    )


def _succeed(device: _Device, key: tuple[str, str], event_id: EventId) -> None:
    device.sent[key] = event_id
    device.on_their_way -= 1


def _fail(device: _Device, key: tuple[str, str]) -> None:
    del device.sent[key]
    device.on_their_way -= 1
    # It may be stored all the same.
    device.complete = False


def _forget_oldest(device: _Device) -> None:
    device.complete = False
    for key in list(device.sent)[:_TXNS_PER_DEVICE_MAX]:
        if not isinstance(device.sent[key], _OnItsWay):
            del device.sent[key]
