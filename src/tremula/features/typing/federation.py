"""Typing notifications between servers (SS "Typing Notifications")."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from tremula.features.typing.service import Typing
from tremula.infra.clock import Clock
from tremula.infra.federation.destination import Edu
from tremula.infra.federation.queues import Queues
from tremula.protocol.errors import BadJson
from tremula.protocol.identifiers import RoomId, ServerName, UserId, server_of
from tremula.rooms.reader import RoomReader
from tremula.rooms.remote_users import check_remote_user
from tremula.rooms.view import RoomView

EDU_TYPE: Final = "m.typing"

# A user of another server types for so long, unless that is repeated.
_TIMEOUT_MS: Final = 60_000
_REPEAT_AFTER_S: Final = 30.0


class TypingContent(msgspec.Struct):
    """Content of the ``m.typing`` EDU."""

    room_id: str
    user_id: str
    typing: bool


class TypingEdus(Struct, frozen=True):
    """Implements `EduHandler`: who types on other servers."""

    typing: Typing
    reader: RoomReader

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """A user of *origin* begins or ends to type.

        Raises:
            BadJson: the content is malformed.
            Forbidden: *origin* may not say so of that user in that room.
        """
        try:
            edu = msgspec.convert(content, TypingContent)
        except msgspec.ValidationError as error:
            raise BadJson(str(error)) from error
        room_id, user_id = RoomId(edu.room_id), UserId(edu.user_id)
        check_remote_user(await self.reader.find_room(room_id), origin, user_id)
        if edu.typing:
            await self.typing.start(user_id, room_id, timeout_ms=_TIMEOUT_MS)
        else:
            await self.typing.stop(user_id, room_id)


class TypingSender:
    """Tells the other servers in a room who types here."""

    def __init__(self, own: ServerName, queues: Queues, clock: Clock) -> None:
        self._own = own
        self._queues = queues
        self._clock = clock
        self._told_s: dict[tuple[int, UserId], float] = {}

    def tell(self, view: RoomView, user_id: UserId, *, is_typing: bool) -> None:
        """Listen to `Typing`: tell what is new, or was told some time ago."""
        others = view.joined_servers.keys() - {self._own}
        if not others or server_of(user_id) != self._own:
            return
        key = (view.nid, user_id)
        if is_typing:
            now_s = self._clock.monotonic_s()
            told_s = self._told_s.get(key)
            if told_s is not None and now_s - told_s < _REPEAT_AFTER_S:
                return
            self._told_s[key] = now_s
        else:
            self._told_s.pop(key, None)
        content = {"room_id": view.room_id, "user_id": user_id, "typing": is_typing}
        expires_ms = self._clock.now_ms() + _TIMEOUT_MS
        self._queues.send_edu(
            others, (EDU_TYPE, *key), Edu(EDU_TYPE, content, expires_ms)
        )
