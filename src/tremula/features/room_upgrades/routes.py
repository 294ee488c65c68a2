"""Upgrading rooms at the HTTP edge (CS module "Room Upgrades")."""

import msgspec

from tremula.features.room_upgrades.service import RoomUpgrades
from tremula.features.room_upgrades.successors import WantedUpgrade
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import RoomId, UserId, parse_user_id
from tremula.protocol.room_versions import RoomVersion, get_room_version

CREATORS_MAX = 500


class UpgradeBody(msgspec.Struct):
    """Body of CS ``upgradeRoom``."""

    new_version: str
    additional_creators: list[str] | None = None


@endpoint(
    "POST",
    "/_matrix/client/v3/rooms/{room_id}/upgrade",
    auth=Auth.USER,
    limit="rooms",
)
async def upgrade_room(req: UserRequest, room_upgrades: RoomUpgrades) -> Json:
    """CS upgradeRoom. Errors: M_FORBIDDEN, M_UNSUPPORTED_ROOM_VERSION."""
    body = req.body(UpgradeBody)
    version = get_room_version(body.new_version)
    creators = _creators(version, body.additional_creators)
    successor_id = await room_upgrades.upgrade(
        RoomId(req.path["room_id"]),
        WantedUpgrade(req.user_id, version.id, tuple(creators)),
    )
    return {"replacement_room": successor_id}


def _creators(version: RoomVersion, raw: list[str] | None) -> list[UserId]:
    if not version.privileged_creators:
        # "this field is ignored and has no effect during the upgrade process".
        return []
    if raw is not None and len(raw) > CREATORS_MAX:
        raise InvalidParam("too many additional_creators")
    return [parse_user_id(creator) for creator in raw or ()]
