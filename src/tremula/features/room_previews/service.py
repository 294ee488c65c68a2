"""A snapshot of a room for those who look into it."""

import orjson
from msgspec import Struct

from tremula.features.account_data.service import AccountData
from tremula.features.directory.service import Directory
from tremula.features.history.service import History, PageRequest
from tremula.features.room_state.service import RoomState
from tremula.infra.http import Requester
from tremula.protocol.identifiers import RoomId
from tremula.rooms.access import RoomAccess
from tremula.rooms.tokens import format_place


class RoomPreviews(Struct, frozen=True):
    """Shows a room's state and newest events at once."""

    access: RoomAccess
    state: RoomState
    history: History
    directory: Directory
    account_data: AccountData

    async def snapshot(
        self, requester: Requester, room_id: RoomId, *, limit: int
    ) -> bytes:
        """The answer of CS roomInitialSync, ready JSON.

        Raises:
            Forbidden: the requester may not read the room.
        """
        access = await self.access.reading(requester.user_id, room_id)
        newest = PageRequest(backwards=True, limit=limit)
        page = await self.history.page(requester, room_id, newest)
        state = await self.state.state_of(requester, access)
        published = await self.directory.is_published(room_id)
        account_data = await self.account_data.events_in_room(
            requester.user_id, access.view.nid
        )
        members = [
            b'"room_id":' + orjson.dumps(room_id),
            b'"messages":{"chunk":[%b],"start":"%b","end":"%b"}'
            % (
                b",".join(reversed(page.chunk)),
                (page.end or page.start).encode(),
                format_place(access.up_to).encode(),
            ),
            b'"state":[%b]' % b",".join(state),
            b'"account_data":[%b]' % b",".join(account_data),
            b'"visibility":"%b"' % (b"public" if published else b"private"),
        ]
        if access.membership is not None:
            members.append(b'"membership":' + orjson.dumps(access.membership))
        return b"{%b}" % b",".join(members)
