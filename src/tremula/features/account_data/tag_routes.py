"""Tags at the HTTP edge (CS module "Room Tagging")."""

from tremula.features.account_data.tags import Tags
from tremula.infra.http import Auth, Json, UserRequest, endpoint


@endpoint(
    "GET", "/_matrix/client/v3/user/{user_id}/rooms/{room_id}/tags", auth=Auth.USER
)
async def get_room_tags(req: UserRequest, tags: Tags) -> Json:
    """CS getRoomTags. Errors: M_FORBIDDEN, M_INVALID_PARAM."""
    req.check_own()
    return {"tags": await tags.of_room(req.user_id, req.path["room_id"])}


@endpoint(
    "PUT",
    "/_matrix/client/v3/user/{user_id}/rooms/{room_id}/tags/{tag}",
    auth=Auth.USER,
    limit="account",
)
async def set_room_tag(req: UserRequest, tags: Tags) -> Json:
    """CS setRoomTag. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_BAD_JSON."""
    req.check_own()
    await tags.put(req.user_id, req.path["room_id"], req.path["tag"], req.json_object())
    return {}


@endpoint(
    "DELETE",
    "/_matrix/client/v3/user/{user_id}/rooms/{room_id}/tags/{tag}",
    auth=Auth.USER,
    limit="account",
)
async def delete_room_tag(req: UserRequest, tags: Tags) -> Json:
    """CS deleteRoomTag. Errors: M_FORBIDDEN, M_INVALID_PARAM."""
    req.check_own()
    await tags.delete(req.user_id, req.path["room_id"], req.path["tag"])
    return {}
