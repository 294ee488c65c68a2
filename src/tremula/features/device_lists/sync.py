"""Device lists in `/sync`, and the same for whoever asks what they have missed."""

from collections.abc import Collection
from typing import Protocol

import orjson
from msgspec import Struct

from tremula.features.device_lists import storage
from tremula.features.device_lists.encounters import Company
from tremula.features.device_lists.service import TOPIC
from tremula.features.sync.parts import SyncContext
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import UserId
from tremula.rooms.staging import MEMBERS_TOPIC


class DeviceListNews(Struct, frozen=True):
    """``DeviceLists`` of CS "Extensions to /sync"."""

    changed: list[UserId]
    left: list[UserId]


class OwnSignatures(Protocol):
    """Knows what our users have signed of the keys of others."""

    @property
    def topic(self) -> str:
        """What is announced when they do."""
        ...

    async def signed_after(self, user_id: UserId, pos: int) -> Collection[UserId]:
        """The other users whose keys *user_id* has signed after position *pos*."""
        ...


class DeviceListsPart(Struct, frozen=True):
    """The ``device_lists`` of the answer.

    The specification speaks of encrypted rooms. Any room counts here: clients take
    note only of those whose devices they want to know, and what is told of others
    costs less than to know which rooms were encrypted when.

    Whose key a user has signed has changed for that user: nobody else sees it.
    """

    db: Reader
    journal: Journal
    company: Company
    signatures: OwnSignatures
    key: str = "device_lists"

    @property
    def topics(self) -> Collection[str]:
        """What it follows."""
        return (TOPIC, MEMBERS_TOPIC, self.signatures.topic)

    async def user_section(self, ctx: SyncContext, since: int) -> bytes | None:
        """Whose devices are to be asked for anew, and whose no longer matter.

        Nothing on an initial sync: the client then knows nobody's devices.
        """
        if not since:
            return None
        news = await self._news(ctx.user_id, since)
        if not (news.changed or news.left):
            return None
        return orjson.dumps({"changed": news.changed, "left": news.left})

    async def changes(self, user_id: UserId, since: int) -> DeviceListNews:
        """What `/sync` tells after the journal position *since*.

        Raises:
            InvalidParam: that is ahead of everything this server handed out.
        """
        if not await self.journal.covers(since):
            raise InvalidParam("from is not a token of this server")
        return await self._news(user_id, since)

    async def _news(self, user_id: UserId, since: int) -> DeviceListNews:
        changed = await self._changed(user_id, since)
        changed |= set(await self.signatures.signed_after(user_id, since))
        encounters = await self.company.encounters(user_id, since)
        return DeviceListNews(
            changed=sorted(changed | encounters.met), left=sorted(encounters.parted)
        )

    async def _changed(self, user_id: UserId, since: int) -> set[UserId]:
        keys = self.journal.changed_keys(TOPIC, since)
        if keys is None:
            found = await storage.changed_after(self.db, since)
        else:
            found = {UserId(key) for key in keys if isinstance(key, str)}
        if not found:
            return found
        shown = await self.company.shared.sharing_with(user_id, found - {user_id})
        return shown | (found & {user_id})
