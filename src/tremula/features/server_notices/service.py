"""Speaks to users in a room of their own, which they cannot refuse."""

from typing import Any, Final

from msgspec import Struct

from tremula.features.account.service import Accounts
from tremula.features.account_data.service import AccountData
from tremula.features.server_notices import storage
from tremula.features.server_notices.plan import notices_room
from tremula.features.users.service import User
from tremula.infra.config import ServerNotices as Policy
from tremula.infra.db import Conflict, Reader
from tremula.protocol.errors import (
    CannotLeaveServerNoticeRoom,
    Forbidden,
    InvalidParam,
    NotFound,
)
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms.events import Draft
from tremula.rooms.reader import RoomReader
from tremula.rooms.rooms import Rooms
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView

BODY_BYTES_MAX: Final = 32_768

_TAG: Final = "m.tag"
_NOTICE_TAG: Final = "m.server_notice"
# "The specified values" are about limits that this server does not have.
_NOTICE_TYPE: Final = "org.tremula.notice"


class NoticeRooms(Struct, frozen=True):
    """Knows which room is whose, and who may leave it."""

    db: Reader
    can_be_left: bool

    async def check_leaving(
        self, user_id: UserId, room_id: RoomId, membership: str | None
    ) -> None:
        """Refuse to let a user reject the invitation to their notices, or leave them
        where the operator wants them to be read.

        Raises:
            CannotLeaveServerNoticeRoom: that is so.
        """
        if membership == "join" and self.can_be_left:
            return
        if await storage.find_room(self.db, user_id) == room_id:
            raise CannotLeaveServerNoticeRoom("the server speaks to you here")


class ServerNotices(Struct, frozen=True):
    """Sends notices, each durable on return."""

    db: Reader
    rooms: Rooms
    reader: RoomReader
    accounts: Accounts
    account_data: AccountData
    policy: Policy
    version: RoomVersion

    async def send(self, user_id: UserId, body: str) -> EventId:
        """Tell a user something; the room is made if need be, and they are invited.

        Raises:
            NotFound: there is no such user here, or no more.
            InvalidParam: *body* is empty or too long.
            Forbidden: the configured sender is somebody's account.
        """
        if not body or len(body.encode("utf-8", "replace")) > BODY_BYTES_MAX:
            raise InvalidParam(f"a notice has 1 to {BODY_BYTES_MAX} bytes")
        if not await self.accounts.users.is_active(user_id):
            raise NotFound(f"there is no user {user_id}")
        sender = await self._sender()
        view = await self._room(sender, user_id)
        await self._invite(sender, user_id, view)
        content = {
            "msgtype": _NOTICE_TAG,
            "body": body,
            "server_notice_type": _NOTICE_TYPE,
        }
        notice = Draft(type="m.room.message", sender=sender, content=content)
        return (await self.rooms.append(view.room_id, [notice]))[0]

    async def _sender(self) -> UserId:
        """The user who sends notices, and whom nobody can log in as."""
        users = self.accounts.users
        sender = users.id_of(self.policy.localpart)
        user = await users.find(sender)
        if user is None:
            user = User(
                user_id=sender,
                password_hash=None,
                created_ts_ms=self.accounts.clock.now_ms(),
                is_admin=False,
                is_guest=False,
            )
            unit = self.accounts.journal.unit()
            self.accounts.add(unit, user)
            try:
                await self.accounts.journal.commit(unit)
            except Conflict:
                # Of another process's, perhaps: it is looked at.
                return await self._sender()
        if user.password_hash is not None or user.is_guest or user.is_deactivated:
            raise Forbidden(f"{sender} is somebody's account: configure another one")
        return sender

    async def _room(self, sender: UserId, user_id: UserId) -> RoomView:
        old_id = await storage.find_room(self.db, user_id)
        view = None if old_id is None else await self.reader.find_room(old_id)
        if view is not None and view.is_joined(sender):
            return view
        drafts = notices_room(self.version, sender, self.policy.room_name)
        try:
            room_id = await self.rooms.create(
                self.version,
                drafts,
                also=lambda unit, new: storage.replace_room(
                    unit, user_id, new.room_id, old_id=old_id
                ),
            )
        except Conflict:
            return await self._room(sender, user_id)
        return await self.reader.get_room(room_id)

    async def _invite(self, sender: UserId, user_id: UserId, view: RoomView) -> None:
        await self.account_data.update_in_room(user_id, view.nid, _TAG, _tagged)
        if view.membership(user_id) in {"join", "invite"}:
            return
        invitation = Draft(
            type=MEMBER,
            sender=sender,
            content={"membership": "invite"},
            state_key=user_id,
        )
        await self.rooms.append(view.room_id, [invitation])


def _tagged(content: dict[str, Any]) -> dict[str, Any]:
    before = content.get("tags")
    tags: dict[str, Any] = before if isinstance(before, dict) else {}
    return {**content, "tags": {**tags, _NOTICE_TAG: {}}}
