"""Messages to devices between servers (SS "Send-to-device messaging")."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from tremula.features.to_device.service import ToDevice
from tremula.protocol.errors import BadJson, Forbidden, InvalidParam
from tremula.protocol.identifiers import ServerName, parse_user_id, server_of
from tremula.protocol.to_device import parse_event_type, parse_messages

_MESSAGE_ID_CHARS_MAX: Final = 32


class DirectToDeviceContent(msgspec.Struct):
    """Content of the ``m.direct_to_device`` EDU."""

    sender: str
    type: str
    message_id: str
    messages: dict[str, Any]


class ToDeviceEdus(Struct, frozen=True):
    """Implements `EduHandler`: messages to devices of our users."""

    to_device: ToDevice

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """A user of *origin* sends messages. Those for others than ours are left out.

        Raises:
            BadJson, InvalidParam, TooLarge: the content is malformed.
            Forbidden: the sender is not a user of *origin*.
        """
        try:
            edu = msgspec.convert(content, DirectToDeviceContent)
        except msgspec.ValidationError as error:
            raise BadJson(str(error)) from error
        sender = parse_user_id(edu.sender)
        if server_of(sender) != origin:
            raise Forbidden(f"{sender} is not a user of {origin}")
        if "\0" in edu.message_id or len(edu.message_id) > _MESSAGE_ID_CHARS_MAX:
            raise InvalidParam(
                f"a message ID has at most {_MESSAGE_ID_CHARS_MAX} characters"
            )
        await self.to_device.receive(
            origin,
            edu.message_id,
            sender,
            parse_event_type(edu.type),
            parse_messages(edu.messages),
        )
