"""Devices at the HTTP edge (CS module "Device Management")."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tremula.features.devices.service import (
    DELETED_AT_ONCE_MAX,
    Device,
    Devices,
    parse_display_name,
)
from tremula.features.uia.service import Authenticated, digest_of
from tremula.infra.http import Auth, Json, Response, UserRequest, endpoint
from tremula.protocol.identifiers import DeviceId, parse_device_id


class UpdateDeviceBody(msgspec.Struct):
    """Body of CS ``updateDevice``."""

    display_name: str | None = None


class DeleteDeviceBody(msgspec.Struct):
    """Body of CS ``deleteDevice``."""

    auth: object = None


class DeleteDevicesBody(msgspec.Struct):
    """Body of CS ``deleteDevices``."""

    devices: Annotated[list[str], Meta(max_length=DELETED_AT_ONCE_MAX)]
    auth: object = None


@endpoint("GET", "/_matrix/client/v3/devices", auth=Auth.USER, guest=True)
async def get_devices(req: UserRequest, devices: Devices) -> Json:
    """CS getDevices."""
    return {"devices": [_body(each) for each in await devices.all_of(req.user_id)]}


@endpoint("GET", "/_matrix/client/v3/devices/{device_id}", auth=Auth.USER, guest=True)
async def get_device(req: UserRequest, devices: Devices) -> Json:
    """CS getDevice. Errors: M_NOT_FOUND."""
    return _body(await devices.get(req.user_id, DeviceId(req.path["device_id"])))


@endpoint("PUT", "/_matrix/client/v3/devices/{device_id}", auth=Auth.USER, guest=True)
async def update_device(req: UserRequest, devices: Devices) -> Json:
    """CS updateDevice. Errors: M_NOT_FOUND, M_INVALID_PARAM."""
    raw_name = req.body(UpdateDeviceBody).display_name
    name = None if raw_name is None else parse_display_name(raw_name)
    if not req.requester.controls_user:
        await devices.rename(req.user_id, DeviceId(req.path["device_id"]), name)
        return {}
    # "Application services can use the [...] endpoint to create new devices."
    device_id = parse_device_id(req.path["device_id"])
    is_new = await devices.put(req.user_id, device_id, name)
    return Response(status=201 if is_new else 200)


@endpoint(
    "DELETE",
    "/_matrix/client/v3/devices/{device_id}",
    auth=Auth.USER,
    limit="account",
)
async def delete_device(req: UserRequest, devices: Devices) -> Json:
    """CS deleteDevice. Errors: 401 until authenticated."""
    device_id = parse_device_id(req.path["device_id"])
    auth = req.body(DeleteDeviceBody).auth
    digest = digest_of({"device_id": device_id})
    proof = await _authenticate(req, devices, "deleteDevice", auth, digest)
    await devices.delete(req.user_id, [device_id], proof=proof)
    return {}


@endpoint("POST", "/_matrix/client/v3/delete_devices", auth=Auth.USER, limit="account")
async def delete_devices(req: UserRequest, devices: Devices) -> Json:
    """CS deleteDevices. Errors: 401 until authenticated."""
    body = req.body(DeleteDevicesBody)
    device_ids = [
        parse_device_id(device_id) for device_id in dict.fromkeys(body.devices)
    ]
    digest = digest_of({"devices": device_ids})
    proof = await _authenticate(req, devices, "deleteDevices", body.auth, digest)
    await devices.delete(req.user_id, device_ids, proof=proof)
    return {}


async def _authenticate(
    req: UserRequest, devices: Devices, operation: str, auth: object, digest: bytes
) -> Authenticated | None:
    # They "MUST NOT require User-Interactive Authentication when used by an application
    # service".
    if req.requester.controls_user:
        return None
    return await devices.uia.require(req.user_id, operation, auth, digest)


def _body(device: Device) -> dict[str, Any]:
    body: dict[str, Any] = {"device_id": device.device_id}
    if device.display_name is not None:
        body["display_name"] = device.display_name
    if device.last_seen_ts_ms is not None:
        body["last_seen_ts"] = device.last_seen_ts_ms
        body["last_seen_ip"] = device.last_seen_ip
    return body
