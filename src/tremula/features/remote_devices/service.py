"""Keys of other servers' users, for the clients of ours."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from tremula.features.device_keys.service import RemoteDevices, RemoteKeys, UserKeys
from tremula.features.remote_devices import storage
from tremula.features.remote_devices.fetching import Fetched, ListFetcher
from tremula.features.remote_devices.storage import StoredList
from tremula.infra.db import Reader
from tremula.infra.federation.errors import PeerError, RemoteError
from tremula.infra.journal import Journal
from tremula.infra.together import together
from tremula.protocol.identifiers import ServerName, UserId, server_of
from tremula.rooms.sharing import SharedRooms

# Of more users of one server, the keys are asked for at once, the lists fetched later.
LISTS_AT_ONCE_MAX: Final = 10

_USERS_AT_ONCE: Final = 500


class RemoteDeviceKeys(Struct, frozen=True):
    """Implements ``RemoteDevices``.

    Lists are kept of users whom we share a room with, since their servers tell us of
    every change. What one is worth is decided when it is read: it counts if it is not
    wanted anew, and a room has been shared ever since it was fetched.

    ``asked`` asks for keys that are not kept.
    """

    db: Reader
    journal: Journal
    shared: SharedRooms
    fetcher: ListFetcher
    asked: RemoteDevices

    async def query(
        self, user_ids: Collection[UserId], *, timeout_s: float
    ) -> RemoteKeys:
        """Their keys, verified; users that their server does not know are left out.

        If a server can't be asked, what was known of its users last counts.
        """
        seen_pos = self.journal.position
        shared = await self.shared.with_remote(user_ids)
        # In this order: a list that is no longer wanted is there.
        wanted = await self._wanted(list(shared))
        known = await self._known(list(shared))
        fresh = {
            user_id
            for user_id, stored in known.items()
            if user_id not in wanted and shared[user_id].since_pos <= stored.shared_pos
        }
        to_fetch = _to_fetch([each for each in shared if each not in fresh])
        to_ask = [each for each in user_ids if each not in {*fresh, *to_fetch}]
        fetching = self._fetch(to_fetch, seen_pos, timeout_s)
        asking = self.asked.query(to_ask, timeout_s=timeout_s)
        answers = await together({"fetched": fetching, "asked": asking})
        users: dict[UserId, UserKeys] = {}
        failures: dict[ServerName, Mapping[str, Any]] = {}
        for answer in answers.values():
            users |= answer.users
            failures |= answer.failures
        for user_id, stored in known.items():
            if user_id in fresh or server_of(user_id) in failures:
                users.setdefault(user_id, stored.keys)
        await self.fetcher.want([each for each in to_ask if each in shared])
        return RemoteKeys(users, failures)

    async def _known(self, user_ids: Sequence[UserId]) -> dict[UserId, StoredList]:
        known: dict[UserId, StoredList] = {}
        for start in range(0, len(user_ids), _USERS_AT_ONCE):
            part = user_ids[start : start + _USERS_AT_ONCE]
            known |= await storage.lists_of(self.db, part)
        return known

    async def _wanted(self, user_ids: Sequence[UserId]) -> set[UserId]:
        wanted: set[UserId] = set()
        for start in range(0, len(user_ids), _USERS_AT_ONCE):
            part = user_ids[start : start + _USERS_AT_ONCE]
            wanted |= (await storage.wanted_among(self.db, part)).keys()
        return wanted

    async def _fetch(
        self, user_ids: Collection[UserId], seen_pos: int, timeout_s: float
    ) -> RemoteKeys:
        fetched = await together(
            {each: self._fetch_in_time(each, seen_pos, timeout_s) for each in user_ids}
        )
        return RemoteKeys(
            {
                user_id: each.keys
                for user_id, each in fetched.items()
                if each.keys is not None
            },
            {
                server_of(user_id): _standard_error(each.error)
                for user_id, each in fetched.items()
                if each.error is not None
            },
        )

    async def _fetch_in_time(
        self, user_id: UserId, seen_pos: int, timeout_s: float
    ) -> Fetched:
        try:
            async with asyncio.timeout(timeout_s):
                return await self.fetcher.fetch(user_id, seen_pos=seen_pos)
        except TimeoutError:
            return Fetched(error=RemoteError("no answer in time"))


def _to_fetch(user_ids: Sequence[UserId]) -> set[UserId]:
    """Whose lists to fetch at once: of servers with few users among them."""
    by_server: dict[ServerName, list[UserId]] = {}
    for user_id in user_ids:
        by_server.setdefault(server_of(user_id), []).append(user_id)
    few = (each for each in by_server.values() if len(each) <= LISTS_AT_ONCE_MAX)
    return {user_id for of_server in few for user_id in of_server}


def _standard_error(error: RemoteError) -> Mapping[str, Any]:
    if isinstance(error, PeerError):
        return {"errcode": error.errcode, "error": error.message}
    # Without what went wrong: it may name addresses of our network.
    return {"errcode": "M_UNKNOWN", "error": "the server did not answer"}
