"""Messages to devices, as clients and other servers send them."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from tremula.protocol.canonical import encode_canonical
from tremula.protocol.errors import BadJson, InvalidParam, TooLarge
from tremula.protocol.identifiers import (
    DEVICE_ID_CHARS_MAX,
    DeviceId,
    UserId,
    parse_user_id,
)

ALL_DEVICES: Final = DeviceId("*")
"""Stands for all known devices of a user."""

MESSAGES_MAX: Final = 2_000
"""So many messages are taken at once; clients send up to 250."""

# Of one user, which is how long a list in SQL may be.
_DEVICES_MAX: Final = 500
_CONTENT_BYTES_MAX: Final = 64 * 1024
_TYPE_BYTES_MAX: Final = 255


class DeviceMessage(Struct, frozen=True):
    """The content, as canonical JSON, for a device of a user, or for `ALL_DEVICES`."""

    user_id: UserId
    device_id: DeviceId
    content: bytes


def parse_messages(raw: Mapping[str, Any]) -> list[DeviceMessage]:
    """Read `{user_id: {device_id: content}}`.

    Raises:
        BadJson: *raw* is something else, or a content is not canonical JSON.
        InvalidParam: there are too many, or an ID is none.
        TooLarge: a content is past its bound.
    """
    messages = []
    for raw_user_id, devices in raw.items():
        user_id = parse_user_id(raw_user_id)
        if not isinstance(devices, dict):
            raise BadJson("messages must be {user_id: {device_id: content}}")
        if len(devices) > _DEVICES_MAX:
            raise InvalidParam(f"at most {_DEVICES_MAX} devices of a user at once")
        for device_id, content in devices.items():
            messages.append(_parse_message(user_id, device_id, content))
        if len(messages) > MESSAGES_MAX:
            raise InvalidParam(f"at most {MESSAGES_MAX} messages at once")
    return messages


def parse_event_type(raw: str) -> str:
    """The type of a message: of at most 255 bytes.

    Raises:
        InvalidParam: *raw* is something else.
    """
    if not raw or "\0" in raw or len(raw.encode()) > _TYPE_BYTES_MAX:
        raise InvalidParam(f"a type has 1 to {_TYPE_BYTES_MAX} bytes")
    return raw


def _parse_message(user_id: UserId, device_id: str, content: object) -> DeviceMessage:
    if not device_id or "\0" in device_id or len(device_id) > DEVICE_ID_CHARS_MAX:
        raise InvalidParam("not a device ID")
    if not isinstance(content, dict):
        raise BadJson("the content of a message must be an object")
    encoded = encode_canonical(content)
    if len(encoded) > _CONTENT_BYTES_MAX:
        raise TooLarge(f"a message has at most {_CONTENT_BYTES_MAX} bytes")
    return DeviceMessage(user_id, DeviceId(device_id), encoded)
