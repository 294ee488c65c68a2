"""Tells other servers what changes of our users' devices (SS "Device Management")."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import orjson
import structlog
from msgspec import Struct

from tremula.features.device_keys.service import PublishedKeys, UserKeys
from tremula.features.device_lists.service import TOPIC
from tremula.features.remote_devices import untold_storage as storage
from tremula.features.remote_devices.untold_storage import SIGNING_KEYS, Untold
from tremula.infra.db import Reader, SlotLost
from tremula.infra.federation.durable_edus import DurableEdus
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.slots import Slots
from tremula.infra.together import together
from tremula.protocol.identifiers import DeviceId, ServerName, UserId, server_of
from tremula.rooms.sharing import SharedRooms

log = structlog.get_logger(__name__)

LIST_UPDATE: Final = "m.device_list_update"
SIGNING_KEY_UPDATE: Final = "m.signing_key_update"

# So many users are told of at once.
_AT_ONCE: Final = 20

# Of more devices that changed at once, others fetch the whole list.
_UPDATES_MAX: Final = 20

_NO_KEYS: Final = UserKeys({})


class DeviceListSender:
    """Follows the changes of our users' devices; over restarts, too. The holder of the
    user's slot tells of them: one update is to name the one before it.

    Updates of one user are a line, each naming the one before it. A server that lacks
    one, or was not in a room with the user then, sees that and fetches the list.
    """

    def __init__(
        self,
        *,
        own: ServerName,
        db: Reader,
        journal: Journal,
        shared: SharedRooms,
        published: PublishedKeys,
        edus: DurableEdus,
        slots: Slots,
    ) -> None:
        self._own = own
        self._db = db
        self._journal = journal
        self._shared = shared
        self._published = published
        self._edus = edus
        self._slots = slots
        self._changed: set[UserId] = set()
        self._may_be_untold = True
        self._something_changed = asyncio.Event()
        journal.subscribe(TOPIC, self._device_list_changed)
        journal.on_forget(self._look_again)
        slots.on_taken(lambda _: self._look_again())

    async def stream_id(self, user_id: UserId) -> int:
        """The ID of the newest update of one of our users; 0 before the first one.

        Implements ``StreamIds``.
        """
        return await storage.told_stream_id(self._db, user_id) or 0

    async def run(self) -> None:
        """Tell for ever; meant for the supervisor."""
        while True:
            if self._may_be_untold:
                self._may_be_untold = False
                self._changed |= await storage.untold_users(self._db)
            await self.tell_changes()
            await self._something_changed.wait()

    async def tell_changes(self) -> None:
        """Tell what has changed so far."""
        self._something_changed.clear()
        while self._changed:
            users = [
                self._changed.pop() for _ in range(min(len(self._changed), _AT_ONCE))
            ]
            # Their units are one commit.
            await together({user_id: self._try_to_tell(user_id) for user_id in users})

    async def _try_to_tell(self, user_id: UserId) -> None:
        try:
            if self._slots.holds(user_id):
                await self._tell(user_id)
        except SlotLost as error:
            log.info("device_list_left", user_id=user_id, reason=str(error))
            self._may_be_untold = True
        except Exception:
            # CVE-2025-61672: whatever is wrong with the keys of one user, others are
            # told of. What is untold is tried again with the next change.
            log.exception("device_list_not_told", user_id=user_id)

    def _look_again(self) -> None:
        self._may_be_untold = True
        self._something_changed.set()

    def _device_list_changed(self, _pos: int, user_id: object, _change: object) -> None:
        assert isinstance(user_id, str)
        if server_of(user_id) == self._own:
            self._changed.add(UserId(user_id))
            self._something_changed.set()

    async def _tell(self, user_id: UserId) -> None:
        untold = await storage.untold(self._db, user_id)
        if not untold:
            return
        servers = await self._shared.servers_with(user_id)
        told = await self._told(user_id) if servers else None
        unit = self._journal.unit()
        unit.under(self._slots.lease(user_id))
        devices = [each for each in untold if each.device_id != SIGNING_KEYS]
        if devices:
            # Also if nobody is told: who was in a room before is not, and sees a gap.
            last = (
                unit.pos()
                if told is None
                else self._add_updates(unit, servers, told, devices)
            )
            storage.upsert_told(unit, user_id, stream_id=last)
        if told is not None and len(devices) < len(untold):
            content = _signing_keys(user_id, told.keys)
            self._add(unit, servers, SIGNING_KEY_UPDATE, content, SIGNING_KEYS)
        storage.delete_untold(unit, user_id, untold)
        await self._journal.commit(unit)

    async def _told(self, user_id: UserId) -> "_Told":
        keys = await self._published.of_user(user_id) or _NO_KEYS
        before = await storage.told_stream_id(self._db, user_id)
        return _Told(user_id, keys, before)

    def _add_updates(
        self,
        unit: JournalUnit,
        servers: set[ServerName],
        told: "_Told",
        devices: list[Untold],
    ) -> int:
        """Returns the ``stream_id`` of the last update."""
        stream_id = told.stream_id
        if len(devices) > _UPDATES_MAX:
            # Named as previous by the one that is sent, but never sent.
            stream_id = unit.pos()
            devices = devices[-1:]
        for each in devices:
            before, stream_id = stream_id, unit.pos()
            content = {
                "user_id": told.user_id,
                "device_id": each.device_id,
                "stream_id": stream_id,
                "prev_id": [] if before is None else [before],
                **device_content(told.keys, each.device_id),
            }
            self._add(unit, servers, LIST_UPDATE, content, each.device_id)
        assert stream_id is not None, "there is at least one device"
        return stream_id

    def _add(
        self,
        unit: JournalUnit,
        servers: set[ServerName],
        edu_type: str,
        content: Mapping[str, Any],
        device_id: DeviceId,
    ) -> None:
        # A server that can't be reached gets the newest of each device, and sees that
        # there were others.
        key = f"{edu_type} {content['user_id']} {device_id}"
        for server in servers:
            self._edus.add(unit, server, edu_type, content, replacement_key=key)


class _Told(Struct, frozen=True):
    user_id: UserId
    keys: UserKeys
    stream_id: int | None


def device_content(keys: UserKeys, device_id: DeviceId) -> dict[str, Any]:
    """What an update says of the device itself."""
    key_json = keys.devices.get(device_id)
    if key_json is None:
        return {"deleted": True}
    device_keys = orjson.loads(key_json)
    name = device_keys.pop("unsigned", {}).get("device_display_name")
    return {"keys": device_keys} | ({"device_display_name": name} if name else {})


def _signing_keys(user_id: UserId, keys: UserKeys) -> dict[str, Any]:
    content: dict[str, Any] = {"user_id": user_id}
    if keys.master is not None:
        content["master_key"] = orjson.loads(keys.master)
    if keys.self_signing is not None:
        content["self_signing_key"] = orjson.loads(keys.self_signing)
    return content
