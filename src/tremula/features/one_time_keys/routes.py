"""Claims at the HTTP edge, of clients and of other servers."""

from typing import Any, Final

import msgspec

from tremula.features.one_time_keys.claims import KeyClaims, parse_claims
from tremula.infra.http import Api, Auth, FederationRequest, Json, UserRequest, endpoint
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import server_of

_BODY_BYTES_MAX: Final = 2 * 1024 * 1024
_TIMEOUT_DEFAULT_MS: Final = 10_000


class ClaimBody(msgspec.Struct):
    """Body of CS ``claimKeys`` and SS ``claimUserEncryptionKeys``."""

    one_time_keys: dict[str, Any]
    timeout: int = _TIMEOUT_DEFAULT_MS


@endpoint(
    "POST",
    "/_matrix/client/v3/keys/claim",
    auth=Auth.USER,
    guest=True,
    max_body=_BODY_BYTES_MAX,
)
async def claim_keys(req: UserRequest, claims: KeyClaims) -> Json:
    """CS claimKeys. Errors: M_BAD_JSON, M_MISSING_PARAM, M_INVALID_PARAM."""
    body = req.body(ClaimBody)
    if body.timeout < 0:
        raise InvalidParam("timeout must not be negative")
    wanted = parse_claims(body.one_time_keys)
    answer = await claims.claim(wanted, timeout_s=body.timeout / 1000)
    return {"one_time_keys": answer.keys, "failures": answer.failures}


@endpoint(
    "POST",
    "/_matrix/federation/v1/user/keys/claim",
    auth=Auth.SERVER,
    max_body=_BODY_BYTES_MAX,
    api=Api.FEDERATION,
)
async def claim_user_encryption_keys(req: FederationRequest, claims: KeyClaims) -> Json:
    """SS claimUserEncryptionKeys. Errors: M_BAD_JSON, M_INVALID_PARAM."""
    wanted = parse_claims(req.body(ClaimBody).one_time_keys)
    # "Requested users must be local to the receiving homeserver."
    if any(server_of(claim.user_id) != claims.own for claim in wanted):
        raise InvalidParam("a user of another server")
    return {"one_time_keys": await claims.keys.claim(wanted)}
