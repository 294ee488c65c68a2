"""The user directory at the HTTP edge (CS "User Directory")."""

from msgspec import Struct

from tremula.features.user_directory.service import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    Person,
    UserDirectory,
)
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import InvalidParam


class SearchBody(Struct):
    """Body of CS ``searchUserDirectory``."""

    search_term: str
    limit: int = LIMIT_DEFAULT


@endpoint(
    "POST",
    "/_matrix/client/v3/user_directory/search",
    auth=Auth.USER,
    limit="directory",
)
async def search_user_directory(req: UserRequest, directory: UserDirectory) -> Json:
    """CS searchUserDirectory. Errors: M_INVALID_PARAM, M_BAD_JSON, M_MISSING_PARAM."""
    body = req.body(SearchBody)
    if body.limit < 1:
        raise InvalidParam("limit must be greater than 0")
    limit = min(body.limit, LIMIT_MAX)
    people = await directory.search(req.user_id, body.search_term, limit)
    return {
        "results": [_shown(person) for person in people.found],
        "limited": people.is_limited,
    }


def _shown(person: Person) -> dict[str, str]:
    shown: dict[str, str] = {"user_id": person.user_id}
    if person.displayname is not None:
        shown["display_name"] = person.displayname
    if person.avatar_url is not None:
        shown["avatar_url"] = person.avatar_url
    return shown
