"""What other servers say of their users' devices, checked.

A key that is malformed, or not signed as it has to be, is left out: it harms nobody,
and the rest counts.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from tremula.features.device_keys.service import UserKeys, parse_told_keys
from tremula.infra.federation.errors import PeerUnreachable
from tremula.protocol.errors import BadJson
from tremula.protocol.identifiers import DeviceId, UserId

_PREV_IDS_MAX: Final = 100
_NO_KEYS: Final = UserKeys({})

StreamId = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_DeviceId = Annotated[str, Meta(min_length=1, max_length=255)]

T = TypeVar("T")


class DeviceUpdate(Struct, frozen=True):
    """The content of ``m.device_list_update``; ``keys`` are not checked."""

    user_id: str
    device_id: _DeviceId
    stream_id: StreamId
    prev_id: Annotated[list[StreamId], Meta(max_length=_PREV_IDS_MAX)] = []
    deleted: bool = False
    keys: object = None
    device_display_name: object = None

    def follows(self, stream_id: int) -> bool:
        """Whether nothing is missing between *stream_id* and this."""
        return bool(self.prev_id) and all(each <= stream_id for each in self.prev_id)

    def device_keys(self) -> bytes | None:
        """The device's keys, None if it has none, or none that are valid."""
        if self.deleted:
            return None
        user_id, device_id = UserId(self.user_id), DeviceId(self.device_id)
        told: dict[str, object] = {
            device_id: _named(self.keys, self.device_display_name)
        }
        return _user_keys(user_id, told).devices.get(device_id)


class SigningKeyUpdate(Struct, frozen=True):
    """The content of ``m.signing_key_update``; the keys are not checked."""

    user_id: str
    master_key: object = None
    self_signing_key: object = None

    def keys(self) -> UserKeys:
        """The keys that are valid, without devices."""
        return _user_keys(
            UserId(self.user_id), {}, self.master_key, self.self_signing_key
        )


class FetchedList(Struct, frozen=True):
    """An answer to SS ``getUserDevices``."""

    stream_id: int
    keys: UserKeys


class _Device(Struct, frozen=True):
    device_id: _DeviceId
    keys: object = None
    device_display_name: object = None


class _UserDevices(Struct, frozen=True):
    user_id: str
    stream_id: StreamId
    devices: list[object]
    master_key: object = None
    self_signing_key: object = None


def parse_edu(content: Mapping[str, Any], kind: type[T]) -> T:
    """The content of an EDU.

    Raises:
        BadJson: it is malformed.
    """
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise BadJson(str(error)) from None


def parse_list(answer: object, user_id: UserId) -> FetchedList:
    """Read an answer to SS ``getUserDevices``.

    Raises:
        PeerUnreachable: it is not one.
    """
    try:
        told = msgspec.convert(answer, _UserDevices)
    except msgspec.ValidationError as error:
        raise PeerUnreachable(f"the devices of {user_id}: {error}") from None
    if told.user_id != user_id:
        raise PeerUnreachable(f"the devices of {told.user_id}, not of {user_id}")
    devices: dict[str, object] = {}
    for raw in told.devices:
        try:
            device = msgspec.convert(raw, _Device)
        except msgspec.ValidationError:
            continue
        devices[device.device_id] = _named(device.keys, device.device_display_name)
    keys = _user_keys(user_id, devices, told.master_key, told.self_signing_key)
    return FetchedList(told.stream_id, keys)


def _named(keys: object, name: object) -> object:
    """Device keys with the name where SS ``queryUserEncryptionKeys`` has it."""
    if not isinstance(keys, dict):
        return keys
    return {**keys, "unsigned": {"device_display_name": name}}


def _user_keys(
    user_id: UserId,
    devices: Mapping[str, object],
    master: object = None,
    self_signing: object = None,
) -> UserKeys:
    told = {
        "device_keys": {user_id: devices},
        "master_keys": {user_id: master},
        "self_signing_keys": {user_id: self_signing},
    }
    return parse_told_keys(told, user_id) or _NO_KEYS
