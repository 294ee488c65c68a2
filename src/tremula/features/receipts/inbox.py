"""What a user has done with a room in their inbox (``com.beeper.inbox``), at once."""

from typing import Any, Final

from msgspec import Struct

from tremula.features.account_data.service import MARKED_UNREAD, AccountData
from tremula.features.receipts.service import Markers, Receipts
from tremula.infra.clock import Clock
from tremula.protocol.identifiers import RoomId, UserId

DONE: Final = "com.beeper.inbox.done"


class Done(Struct, frozen=True, omit_defaults=True):
    """Up to where a room was put aside: some time from now, or a place in it."""

    at_delta: int | None = None
    at_order: int | None = None


class Inbox(Struct, frozen=True):
    """Keeps it where clients look: in receipts and in the room's account data."""

    receipts: Receipts
    account_data: AccountData
    clock: Clock

    async def set_state(
        self,
        user_id: UserId,
        room_id: RoomId,
        *,
        markers: Markers | None,
        marked_unread: bool | None,
        done: Done | None,
    ) -> None:
        """Move markers, mark the room as unread or not, put it aside: what is given.

        Raises:
            Forbidden: the user is not in the room.
            NotFound, InvalidParam: see `Receipts.record`.
        """
        room_nid = await self.account_data.own_room_nid(user_id, room_id)
        if markers is not None:
            await self.receipts.record(user_id, room_id, markers)
        now_ms = self.clock.now_ms()

        async def update(data_type: str, content: dict[str, Any]) -> None:
            await self.account_data.update_in_room(
                user_id, room_nid, data_type, lambda _: content
            )

        if marked_unread is not None:
            await update(MARKED_UNREAD, {"unread": marked_unread, "ts": now_ms})
        if done is not None:
            given = {"at_delta": done.at_delta, "at_order": done.at_order}
            said = {key: value for key, value in given.items() if value is not None}
            await update(DONE, {"updated_ts": now_ms, **said})
