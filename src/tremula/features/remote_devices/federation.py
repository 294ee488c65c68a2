"""What other servers tell of their users' devices (SS "Device Management")."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from tremula.features.device_lists.service import DeviceListChange, DeviceLists
from tremula.features.remote_devices import storage
from tremula.features.remote_devices.fetching import ListFetcher
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
from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import (
    DeviceId,
    ServerName,
    UserId,
    parse_user_id,
    server_of,
)
from tremula.rooms.sharing import Shared, SharedRooms

_DEVICES_MAX: Final = 1_000


class RemoteLists(Struct, frozen=True):
    """Takes over what is told of users with whom we share a room."""

    db: Reader
    journal: Journal
    clock: Clock
    shared: SharedRooms
    lists: DeviceLists
    fetcher: ListFetcher
    resync: Resync
    changing: KeyedLocks[UserId]

    async def update_device(self, user_id: UserId, update: DeviceUpdate) -> None:
        """A device of *user_id* came, changed or went.

        Raises:
            Forbidden: we share no room with the user.
        """
        async with self.changing.of(user_id):
            shared = await self._shared_with(user_id)
            known = await self._known(user_id, shared)
            if known is not None and update.stream_id <= known.stream_id:
                # It was in what we have fetched.
                return
            unit = self.journal.unit()
            if known is None:
                self._superseded(unit, user_id)
            elif update.follows(known.stream_id):
                _apply(unit, user_id, known, update)
            else:
                self.resync.want(unit, user_id)
            change = DeviceListChange((DeviceId(update.device_id),))
            self._announce(unit, user_id, change, shared)
            await self.journal.commit(unit)
        self.resync.notice()

    async def update_signing_keys(
        self, user_id: UserId, update: SigningKeyUpdate
    ) -> None:
        """The cross-signing keys of *user_id* changed.

        Raises:
            Forbidden: we share no room with the user.
        """
        async with self.changing.of(user_id):
            shared = await self._shared_with(user_id)
            known = await self._known(user_id, shared)
            keys = update.keys()
            unit = self.journal.unit()
            if known is None:
                self._superseded(unit, user_id)
            elif keys.master is None or keys.self_signing is None:
                # What it says is not whole, or not valid: we ask.
                self.resync.want(unit, user_id)
            else:
                storage.update_signing_keys(unit, user_id, keys)
            change = DeviceListChange(signing_keys=True)
            self._announce(unit, user_id, change, shared)
            await self.journal.commit(unit)
        self.resync.notice()

    async def _shared_with(self, user_id: UserId) -> Shared:
        shared = (await self.shared.with_remote([user_id])).get(user_id)
        if shared is None:
            raise Forbidden(f"we share no room with {user_id}")
        return shared

    async def _known(self, user_id: UserId, shared: Shared) -> StoredList | None:
        """The list that is kept up to date, if there is one."""
        known = (await storage.lists_of(self.db, [user_id])).get(user_id)
        if known is None or shared.since_pos > known.shared_pos:
            return None
        wanted = await storage.wanted_among(self.db, [user_id])
        return None if wanted else known

    def _superseded(self, unit: JournalUnit, user_id: UserId) -> None:
        """What is being fetched, if anything is, may lack what has just been told."""
        storage.update_seen(
            unit, user_id, pos=unit.pos(), retry_at_ms=self.clock.now_ms()
        )
        unit.on_commit(lambda: self.fetcher.supersede(user_id))

    def _announce(
        self, unit: JournalUnit, user_id: UserId, change: DeviceListChange, to: Shared
    ) -> None:
        self.lists.changed(unit, user_id, change, room_nids=to.room_nids)


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
    storage.update_stream_id(unit, user_id, stream_id=update.stream_id)


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
