"""Server keys at the HTTP edge (SS "Retrieving server keys")."""

import msgspec

from tremula import __version__
from tremula.features.server_keys.notary import Criteria, Notary
from tremula.infra.http import Api, Auth, Json, Request, endpoint
from tremula.protocol.errors import TooLarge
from tremula.protocol.identifiers import ServerName, parse_server_name

_SERVERS_MAX = 100


class QueryCriteria(msgspec.Struct):
    """``Query Criteria`` of SS ``bulkPerspectivesKeyQuery``."""

    minimum_valid_until_ts: int | None = None


class KeyQueryBody(msgspec.Struct):
    """Body of SS ``bulkPerspectivesKeyQuery``: ``{server: {key ID: criteria}}``."""

    server_keys: dict[str, dict[str, QueryCriteria]]


@endpoint("GET", "/_matrix/federation/v1/version", auth=Auth.NONE, api=Api.FEDERATION)
async def get_version(_req: Request, _notary: Notary) -> Json:
    """SS getVersion."""
    return {"server": {"name": "Tremula", "version": __version__}}


@endpoint("GET", "/_matrix/key/v2/server", auth=Auth.NONE, api=Api.FEDERATION)
async def get_server_key(_req: Request, notary: Notary) -> Json:
    """SS getServerKey."""
    return notary.own.publish()


@endpoint(
    "GET",
    "/_matrix/key/v2/query/{server_name}",
    auth=Auth.NONE,
    limit="default",
    api=Api.FEDERATION,
)
async def perspectives_key_query(req: Request, notary: Notary) -> Json:
    """SS perspectivesKeyQuery. Errors: M_INVALID_PARAM."""
    server_name = parse_server_name(req.path["server_name"])
    minimum_ts = req.query.int("minimum_valid_until_ts")
    return {
        "server_keys": await notary.lists(
            {server_name: {}}, minimum_valid_until_ts=minimum_ts
        )
    }


@endpoint(
    "POST",
    "/_matrix/key/v2/query",
    auth=Auth.NONE,
    limit="default",
    api=Api.FEDERATION,
)
async def bulk_perspectives_key_query(req: Request, notary: Notary) -> Json:
    """SS bulkPerspectivesKeyQuery. Errors: M_INVALID_PARAM, M_TOO_LARGE."""
    asked = req.body(KeyQueryBody).server_keys
    if len(asked) > _SERVERS_MAX:
        raise TooLarge(f"at most {_SERVERS_MAX} servers can be asked for at once")
    queries: dict[ServerName, Criteria] = {
        parse_server_name(server_name): {
            key_id: each.minimum_valid_until_ts for key_id, each in criteria.items()
        }
        for server_name, criteria in asked.items()
    }
    return {"server_keys": await notary.lists(queries)}
