"""Device lists of one process, without keys."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import orjson

from tests.features.user_data import SERVER, UserDataServer
from tremula.features.device_lists.encounters import Company
from tremula.features.device_lists.service import DeviceListChange, DeviceLists
from tremula.features.device_lists.sync import DeviceListsPart
from tremula.infra.journal import JournalUnit
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.rooms.events import Draft
from tremula.rooms.member_changes import MemberChanges
from tremula.rooms.sharing import SharedRooms

CHANGE = DeviceListChange(device_ids=(DeviceId("PHONE"),))


class NothingSigned:
    """Implements `OwnSignatures` without keys."""

    topic = "signatures"

    async def signed_after(self, user_id: UserId, pos: int) -> Collection[UserId]:
        return ()


@dataclass(frozen=True, slots=True)
class Lists:
    """The services under test, and what was noted for other servers."""

    server: UserDataServer
    lists: DeviceLists
    part: DeviceListsPart
    noted: list[tuple[UserId, DeviceListChange]]

    @property
    def now(self) -> int:
        """The position that a token names now."""
        return self.server.journal.position

    async def change(self, user_id: UserId, **where: Any) -> None:  # noqa: ANN401
        """Devices of a user change."""
        unit = self.server.journal.unit()
        self.lists.changed(unit, user_id, CHANGE, **where)
        await self.server.journal.commit(unit)

    async def news(self, user_id: UserId, since: int) -> tuple[set[str], set[str]]:
        """Who `/sync` says has changed, and who has left."""
        ctx = await self.server.context(user_id)
        section = await self.part.user_section(ctx, since)
        if section is None:
            return set(), set()
        news = orjson.loads(section)
        assert news["changed"] or news["left"], "nothing to tell: the key is left out"
        return set(news["changed"]), set(news["left"])

    async def member(self, room_id: Any, user_id: UserId, membership: str) -> None:  # noqa: ANN401
        """What a user does to be or not be in a room."""
        content = {"membership": membership, "displayname": f"{self.now}"}
        draft = Draft("m.room.member", user_id, content, user_id)
        await self.server.rooms.append(room_id, [draft])


def start_lists(server: UserDataServer) -> Lists:
    """Build the services as ``app.py`` does."""
    noted: list[tuple[UserId, DeviceListChange]] = []

    def note(
        _unit: JournalUnit, user_id: UserId, change: DeviceListChange, _pos: int
    ) -> None:
        noted.append((user_id, change))

    shared = SharedRooms(SERVER, server.database, server.reader, server.memberships)
    company = Company(
        server.journal,
        server.memberships,
        server.reader,
        shared,
        MemberChanges(server.database, server.reader.events),
    )
    return Lists(
        server=server,
        lists=DeviceLists(
            server.database, server.journal, SERVER, server.memberships, note
        ),
        part=DeviceListsPart(server.database, server.journal, company, NothingSigned()),
        noted=noted,
    )
