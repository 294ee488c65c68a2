"""Third-party networks at the HTTP edge (CS module "Third-party Networks")."""

from typing import Final

import orjson

from tremula.features.third_party_networks.service import Fields, ThirdPartyNetworks
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import parse_room_alias, parse_user_id

_FIELDS_MAX: Final = 50
# What says who asks is nobody else's.
_OWN: Final = frozenset(
    {"access_token", "user_id", "device_id", "org.matrix.msc3202.device_id"}
)


@endpoint(
    "GET", "/_matrix/client/v3/thirdparty/protocols", auth=Auth.USER, limit="directory"
)
async def get_protocols(_req: UserRequest, networks: ThirdPartyNetworks) -> Json:
    """CS getProtocols."""
    return await networks.protocols()


@endpoint(
    "GET",
    "/_matrix/client/v3/thirdparty/protocol/{protocol}",
    auth=Auth.USER,
    limit="directory",
)
async def get_protocol_metadata(req: UserRequest, networks: ThirdPartyNetworks) -> Json:
    """CS getProtocolMetadata. Errors: M_NOT_FOUND."""
    return await networks.protocol(req.path["protocol"])


@endpoint(
    "GET",
    "/_matrix/client/v3/thirdparty/location/{protocol}",
    auth=Auth.USER,
    limit="directory",
)
async def query_location_by_protocol(
    req: UserRequest, networks: ThirdPartyNetworks
) -> Json:
    """CS queryLocationByProtocol. Errors: M_NOT_FOUND, M_INVALID_PARAM."""
    return orjson.dumps(await networks.locations(req.path["protocol"], _fields(req)))


@endpoint(
    "GET",
    "/_matrix/client/v3/thirdparty/user/{protocol}",
    auth=Auth.USER,
    limit="directory",
)
async def query_user_by_protocol(
    req: UserRequest, networks: ThirdPartyNetworks
) -> Json:
    """CS queryUserByProtocol. Errors: M_NOT_FOUND, M_INVALID_PARAM."""
    return orjson.dumps(await networks.users(req.path["protocol"], _fields(req)))


@endpoint(
    "GET", "/_matrix/client/v3/thirdparty/location", auth=Auth.USER, limit="directory"
)
async def query_location_by_alias(
    req: UserRequest, networks: ThirdPartyNetworks
) -> Json:
    """CS queryLocationByAlias.

    Errors: M_NOT_FOUND, M_MISSING_PARAM, M_INVALID_PARAM.
    """
    alias = parse_room_alias(req.query.require("alias"))
    return orjson.dumps(await networks.locations_of(alias))


@endpoint(
    "GET", "/_matrix/client/v3/thirdparty/user", auth=Auth.USER, limit="directory"
)
async def query_user_by_id(req: UserRequest, networks: ThirdPartyNetworks) -> Json:
    """CS queryUserByID. Errors: M_NOT_FOUND, M_MISSING_PARAM, M_INVALID_PARAM."""
    return orjson.dumps(
        await networks.users_of(parse_user_id(req.query.require("userid")))
    )


def _fields(req: UserRequest) -> Fields:
    fields = [each for each in req.query.pairs() if each[0] not in _OWN]
    if len(fields) > _FIELDS_MAX:
        raise InvalidParam(f"at most {_FIELDS_MAX} fields can be looked for")
    return fields
