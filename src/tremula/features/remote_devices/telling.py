"""Tells other servers what changes of our users' devices (SS "Device Management")."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import orjson
import structlog
from msgspec import Struct

from tremula.features.device_keys.service import PublishedKeys, UserKeys
from tremula.features.device_lists.service import TOPIC
from tremula.features.remote_devices import untold_storage as storage
from tremula.features.remote_devices.untold_storage import SIGNING_KEYS, Untold
from tremula.infra.db import DatabaseUnavailable, Reader, SlotLost
from tremula.infra.federation.durable_edus import DurableEdus
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.slots import SlotLease, Slots
from tremula.infra.together import together
from tremula.protocol.identifiers import DeviceId, ServerName, UserId, server_of
from tremula.rooms.sharing import SharedRooms

log = structlog.get_logger(__name__)

LIST_UPDATE: Final = "m.device_list_update"
SIGNING_KEY_UPDATE: Final = "m.signing_key_update"

NEVER_TOLD: Final = 0
"""The stream ID of the list of a user of whom no update has told yet."""

# So many users are told of at once.
_AT_ONCE: Final = 20

# Of so many is noted at once, after so long, that there was nobody to tell.
_NOTED_AT_ONCE: Final = 500
_NOTED_AFTER_S: Final = 1.0

# Of more devices that changed at once, others fetch the whole list.
_UPDATES_MAX: Final = 20

_NO_KEYS: Final = UserKeys({})


class DeviceListSender:
    """Follows the changes of our users' devices; over restarts, too. The holder of the
    user's slot tells of them: one update is to name the one before it.

    Updates of one user are a line, each naming the one before it. A server that lacks
    one, or was not in a room with the user then, sees that and fetches the list.

    If there is no such server, which for most users is known at once, that is looked at
    again a second later, and noted for all who changed meanwhile in one unit: until
    then their change is untold.
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
        self._unheard: set[UserId] = set()
        self._noted_at_s = 0.0
        self._may_be_untold = True
        self._something_changed = asyncio.Event()
        journal.subscribe(TOPIC, self._device_list_changed)
        journal.on_forget(self._look_again)
        slots.on_taken(lambda _: self._look_again())

    async def stream_id(self, user_id: UserId) -> int:
        """The ID of the newest update of one of our users, or `NEVER_TOLD`.

        Implements ``StreamIds``.
        """
        return await storage.told_stream_id(self._db, user_id) or NEVER_TOLD

    async def run(self) -> None:
        """Tell for ever; meant for the supervisor."""
        while True:
            if self._may_be_untold:
                self._may_be_untold = False
                with self._failing_alone():
                    self._changed |= await storage.untold_users(self._db)
            await self.tell_changes()
            await self._something_changed.wait()

    async def tell_changes(self) -> None:
        """Tell what has changed so far."""
        self._something_changed.clear()
        if self._unheard and asyncio.get_running_loop().time() >= self._noted_at_s:
            await self._note_unheard()
        while self._changed:
            users = [
                self._changed.pop() for _ in range(min(len(self._changed), _AT_ONCE))
            ]
            # Their units are one commit.
            await together({user_id: self._try_to_tell(user_id) for user_id in users})

    async def _try_to_tell(self, user_id: UserId) -> None:
        with self._failing_alone(user_id=user_id):
            if self._slots.holds(user_id):
                await self._tell(user_id)

    @contextmanager
    def _failing_alone(self, **who: object) -> Iterator[None]:
        try:
            yield
        except SlotLost as error:
            log.info("device_list_left", **who, reason=str(error))
            self._may_be_untold = True
        except DatabaseUnavailable:
            # That is nobody's fault: `run` begins anew, and finds all that is untold.
            self._may_be_untold = True
            raise
        except Exception:
            # CVE-2025-61672: whatever is wrong with the keys of one user, others are
            # told of. What is untold is tried again with the next change.
            log.exception("device_list_not_told", **who)

    def _look_again(self) -> None:
        self._may_be_untold = True
        self._something_changed.set()

    def _device_list_changed(self, _pos: int, user_id: object, _change: object) -> None:
        assert isinstance(user_id, str)
        user_id = UserId(user_id)
        if server_of(user_id) != self._own:
            return
        if self._shared.is_known_unshared(user_id):
            self._put_off(user_id)
        else:
            self._changed.add(user_id)
            self._something_changed.set()

    async def _tell(self, user_id: UserId) -> None:
        # Who joins after this is to be told of what changes after this.
        seen_pos = self._journal.position
        servers = await self._shared.servers_with(user_id)
        if not servers:
            self._put_off(user_id)
            return
        untold = await storage.untold(self._db, user_id, up_to=seen_pos)
        if not untold:
            return
        told = await self._told(user_id)
        unit = self._journal.unit()
        unit.under(self._slots.lease(user_id))
        devices = [each for each in untold if each.device_id != SIGNING_KEYS]
        if devices:
            last = self._add_updates(unit, servers, told, devices)
            storage.upsert_told(unit, user_id, stream_id=last)
        if len(devices) < len(untold):
            content = _signing_keys(user_id, told.keys)
            self._add(unit, servers, SIGNING_KEY_UPDATE, content, SIGNING_KEYS)
        storage.delete_untold(unit, user_id, untold)
        await self._journal.commit(unit)

    def _put_off(self, user_id: UserId) -> None:
        if not self._unheard:
            loop = asyncio.get_running_loop()
            self._noted_at_s = loop.time() + _NOTED_AFTER_S
            loop.call_at(self._noted_at_s, self._something_changed.set)
        self._unheard.add(user_id)

    async def _note_unheard(self) -> None:
        """Note that there was nobody to tell, of those of whom that is still so."""
        users, self._unheard = self._unheard, set()
        seen_pos = self._journal.position
        by_lease: dict[SlotLease | None, list[UserId]] = {}
        for user_id in users:
            with self._failing_alone(user_id=user_id):
                if await self._shared.servers_with(user_id):
                    self._changed.add(user_id)
                elif self._slots.holds(user_id):
                    by_lease.setdefault(self._slots.lease(user_id), []).append(user_id)
        # Their units are one commit.
        await together(
            {
                (lease, start): self._try_to_note(
                    lease, alike[start : start + _NOTED_AT_ONCE], seen_pos
                )
                for lease, alike in by_lease.items()
                for start in range(0, len(alike), _NOTED_AT_ONCE)
            }
        )

    async def _try_to_note(
        self, lease: SlotLease | None, user_ids: Sequence[UserId], seen_pos: int
    ) -> None:
        with self._failing_alone(users=len(user_ids)):
            unit = self._journal.unit()
            unit.under(lease)
            # Who was in a room before is not told, and sees a gap.
            storage.upsert_told_of(unit, user_ids, up_to=seen_pos, stream_id=unit.pos())
            storage.delete_untold_of(unit, user_ids, up_to=seen_pos)
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
        stream_id = told.stream_id or NEVER_TOLD
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
                # The first one follows the list as it was fetched until then. Whoever
                # is told of nothing before it has to fetch the list, and Synapse says
                # nothing to its users if that is empty.
                "prev_id": [before],
                **device_content(told.keys, each.device_id),
            }
            self._add(unit, servers, LIST_UPDATE, content, each.device_id)
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
