"""Tags of rooms, kept as the room's account data ``m.tag``."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from tremula.features.account_data.service import AccountData
from tremula.protocol.errors import BadJson, InvalidParam
from tremula.protocol.identifiers import UserId, parse_room_id

TAG: Final = "m.tag"
# "The name of a tag MUST NOT exceed 255 bytes."
NAME_BYTES_MAX: Final = 255
TAGS_MAX: Final = 100


class Tags(Struct, frozen=True):
    """Reads and changes the tags that a user has put on a room."""

    account_data: AccountData

    async def of_room(self, user_id: UserId, room_id: str) -> dict[str, Any]:
        """The contents of all tags by name.

        Raises:
            InvalidParam: *room_id* is not one.
            Forbidden: the user has never had to do with this room.
        """
        room_nid = await self._room_nid(user_id, room_id)
        return _tags_in(await self.account_data.find_in_room(user_id, room_nid, TAG))

    async def put(
        self, user_id: UserId, room_id: str, name: str, content: Mapping[str, Any]
    ) -> None:
        """Put a tag on a room, or change its content.

        Raises:
            InvalidParam: too long a name, too many tags, an order out of range.
            BadJson: the order is not a number.
            Forbidden: the user has never had to do with this room.
        """
        if len(name.encode()) > NAME_BYTES_MAX:
            raise InvalidParam(f"the name of a tag has at most {NAME_BYTES_MAX} bytes")
        _check_order(content.get("order"))
        room_nid = await self._room_nid(user_id, room_id)

        def with_tag(data: dict[str, Any]) -> dict[str, Any]:
            tags = {**_tags_in(data), name: dict(content)}
            if len(tags) > TAGS_MAX:
                raise InvalidParam(f"a room has at most {TAGS_MAX} tags")
            return {**data, "tags": tags}

        await self.account_data.update_in_room(user_id, room_nid, TAG, with_tag)

    async def delete(self, user_id: UserId, room_id: str, name: str) -> None:
        """Take a tag off a room; nothing happens if it is not there.

        Raises:
            InvalidParam: *room_id* is not one.
            Forbidden: the user has never had to do with this room.
        """
        room_nid = await self._room_nid(user_id, room_id)

        def without_tag(data: dict[str, Any]) -> dict[str, Any]:
            tags = _tags_in(data)
            if name not in tags:
                return data
            return {**data, "tags": {key: tags[key] for key in tags if key != name}}

        await self.account_data.update_in_room(user_id, room_nid, TAG, without_tag)

    async def _room_nid(self, user_id: UserId, room_id: str) -> int:
        return await self.account_data.own_room_nid(user_id, parse_room_id(room_id))


def _tags_in(data: Mapping[str, Any]) -> dict[str, Any]:
    # Clients may also set m.tag as a whole, and to anything.
    tags = data.get("tags")
    return tags if isinstance(tags, dict) else {}


def _check_order(order: object) -> None:
    if order is None:
        return
    if isinstance(order, bool) or not isinstance(order, int | float):
        raise BadJson("order must be a number")
    if not 0 <= order <= 1:
        raise InvalidParam("order must be between 0 and 1")
