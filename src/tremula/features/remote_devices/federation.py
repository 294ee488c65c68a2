"""What other servers tell of their users' devices (SS "Device Management")."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from tremula.features.device_lists.service import DeviceListChange, DeviceLists
from tremula.features.remote_devices import storage
from tremula.features.remote_devices.parsing import (
    DeviceUpdate,
    SigningKeyUpdate,
    parse_edu,
)
from tremula.features.remote_devices.resync import Resync
from tremula.features.remote_devices.storage import StoredList
from tremula.infra.clock import Clock
from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import (
    DeviceId,
    ServerName,
    UserId,
    parse_user_id,
    server_of,
)
from tremula.rooms.sharing import SharedRooms

_DEVICES_MAX: Final = 1_000


class RemoteLists(Struct, frozen=True):
    """Takes over what is told of users with whom we share a room."""

    db: Reader
    journal: Journal
    clock: Clock
    shared: SharedRooms
    lists: DeviceLists
    resync: Resync
    changing: KeyedLocks[UserId]

    async def update_device(self, user_id: UserId, update: DeviceUpdate) -> None:
        """A device of *user_id* came, changed or went.

        Raises:
            Forbidden: we share no room with the user.
        """

        def take_over(unit: JournalUnit, known: StoredList) -> bool:
            if update.stream_id <= known.stream_id:
                # It was in what we have fetched.
                return False
            if update.follows(known.stream_id):
                _apply(unit, user_id, known, update)
            else:
                self.resync.want(unit, user_id)
            return True

        change = DeviceListChange((DeviceId(update.device_id),))
        await self._change(user_id, change, take_over)

    async def update_signing_keys(
        self, user_id: UserId, update: SigningKeyUpdate
    ) -> None:
        """The cross-signing keys of *user_id* changed.

        Raises:
            Forbidden: we share no room with the user.
        """
        keys = update.keys()

        def take_over(unit: JournalUnit, known: StoredList) -> bool:
            if keys.master is None or keys.self_signing is None:
                # What it says is not whole, or not valid: we ask.
                self.resync.want(unit, user_id)
            else:
                storage.update_signing_keys(unit, user_id, known=known, keys=keys)
            return True

        await self._change(user_id, DeviceListChange(signing_keys=True), take_over)

    async def _change(
        self,
        user_id: UserId,
        change: DeviceListChange,
        take_over: Callable[[JournalUnit, StoredList], bool],
    ) -> None:
        """Store what *take_over* makes of the list that is kept up to date, if one is;
        nothing if it says that nothing is new.
        """

        async def attempt() -> None:
            seen_pos = await self.lists.seen_pos(user_id)
            shared = (await self.shared.with_remote([user_id])).get(user_id)
            if shared is None:
                raise Forbidden(f"we share no room with {user_id}")
            # In this order: a list that is no longer wanted is there.
            wanted = await storage.wanted_among(self.db, [user_id])
            known = (await storage.lists_of(self.db, [user_id])).get(user_id)
            kept = known if known and shared.since_pos <= known.shared_pos else None
            unit = self.journal.unit()
            if wanted:
                # What is being fetched may lack what has just been told.
                now_ms = self.clock.now_ms()
                storage.upsert_seen(unit, user_id, pos=unit.pos(), retry_at_ms=now_ms)
            elif kept is not None and not take_over(unit, kept):
                return
            self.lists.changed(
                unit, user_id, change, room_nids=shared.room_nids, seen_pos=seen_pos
            )
            await self.journal.commit(unit)

        async with self.changing.of(user_id):
            await reread_on_conflict(attempt)
        self.resync.notice()


def _apply(
    unit: JournalUnit, user_id: UserId, known: StoredList, update: DeviceUpdate
) -> None:
    device_id = DeviceId(update.device_id)
    device_keys = update.device_keys()
    is_new = device_id not in known.keys.devices
    if device_keys is None:
        storage.delete_device(unit, user_id, device_id)
    elif not is_new or len(known.keys.devices) < _DEVICES_MAX:
        storage.upsert_devices(unit, user_id, {device_id: device_keys})
    storage.update_stream_id(unit, user_id, known=known, stream_id=update.stream_id)


class DeviceListEdus(Struct, frozen=True):
    """Implements `EduHandler` for ``m.device_list_update``."""

    lists: RemoteLists

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Take over a change of a device.

        Raises:
            BadJson, InvalidParam: it is malformed.
            Forbidden: it is of another server's user, or we share no room with them.
        """
        update = parse_edu(content, DeviceUpdate)
        user_id = _user_of(origin, update.user_id)
        await self.lists.update_device(user_id, update)


class SigningKeyEdus(Struct, frozen=True):
    """Implements `EduHandler` for ``m.signing_key_update``."""

    lists: RemoteLists

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Take over new cross-signing keys.

        Raises:
            BadJson, InvalidParam: it is malformed.
            Forbidden: it is of another server's user, or we share no room with them.
        """
        update = parse_edu(content, SigningKeyUpdate)
        user_id = _user_of(origin, update.user_id)
        await self.lists.update_signing_keys(user_id, update)


def _user_of(origin: ServerName, raw: str) -> UserId:
    user_id = parse_user_id(raw)
    if server_of(user_id) != origin:
        raise Forbidden(f"{user_id} is a user of another server")
    return user_id
