"""Device and cross-signing keys at the HTTP edge (CS "End-to-End Encryption")."""

from contextlib import suppress
from typing import Annotated, Final

import msgspec
import orjson
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tremula.features.device_keys.cross_signing import CrossSigning
from tremula.features.device_keys.queries import KeyQueries
from tremula.features.device_keys.service import DeviceKeyUploads
from tremula.features.device_keys.signatures import Signatures
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.device_keys import Usage
from tremula.protocol.errors import BadJson, InvalidParam
from tremula.protocol.identifiers import DeviceId, UserId, parse_user_id
from tremula.protocol.json import parse_json
from tremula.protocol.one_time_keys import NO_KEYS, KeysJson

USERS_MAX: Final = 5_000

_BODY_BYTES_MAX: Final = 512 * 1024
_TIMEOUT_MS_MAX: Final = 60_000

_ESCAPED_NUL: Final = b"\\u0000"


class KeysEdge(Struct, frozen=True):
    """What the endpoints call."""

    uploads: DeviceKeyUploads
    queries: KeyQueries
    cross_signing: CrossSigning
    signatures: Signatures


class UploadKeysBody(msgspec.Struct):
    """Body of CS ``uploadKeys``; the keys are the JSON that came."""

    device_keys: Raw | UnsetType = UNSET
    one_time_keys: Raw | UnsetType = UNSET
    fallback_keys: Raw | UnsetType = UNSET


_UPLOAD: Final = msgspec.json.Decoder(UploadKeysBody)


class QueryKeysBody(msgspec.Struct):
    """Body of CS ``queryKeys``."""

    device_keys: Annotated[dict[UserId, list[DeviceId]], Meta(max_length=USERS_MAX)]
    timeout: Annotated[int, Meta(ge=0)] = 10_000


class UploadCrossSigningKeysBody(msgspec.Struct):
    """Body of CS ``uploadCrossSigningKeys``."""

    master_key: object = None
    self_signing_key: object = None
    user_signing_key: object = None
    auth: object = None


@endpoint(
    "POST",
    "/_matrix/client/v3/keys/upload",
    auth=Auth.USER,
    guest=True,
    max_body=_BODY_BYTES_MAX,
)
async def upload_keys(req: UserRequest, edge: KeysEdge) -> Json:
    """CS uploadKeys.

    Errors: M_NOT_JSON, M_BAD_JSON, M_INVALID_PARAM, M_MISSING_PARAM,
    M_INVALID_SIGNATURE, M_TOO_LARGE.
    """
    body = _uploaded(req)
    counts = await edge.uploads.upload(
        req.user_id,
        _device_of(req),
        device_keys=parse_json(bytes(body.device_keys or b"null")),
        one_time_keys=_keys_of(body.one_time_keys),
        fallback_keys=_keys_of(body.fallback_keys),
    )
    return {"one_time_key_counts": counts}


@endpoint(
    "POST",
    "/_matrix/client/v3/keys/query",
    auth=Auth.USER,
    guest=True,
    max_body=_BODY_BYTES_MAX,
)
async def query_keys(req: UserRequest, edge: KeysEdge) -> Json:
    """CS queryKeys. Errors: M_BAD_JSON, M_INVALID_PARAM."""
    body = req.body(QueryKeysBody)
    return await edge.queries.answer(
        req.user_id,
        body.device_keys,
        timeout_s=min(body.timeout, _TIMEOUT_MS_MAX) / 1000,
    )


# COMPAT(matrix-js-sdk, 34): asks here for the flows; with libolm it sends the keys.
@endpoint("POST", "/_matrix/client/unstable/keys/device_signing/upload", auth=Auth.USER)
@endpoint("POST", "/_matrix/client/v3/keys/device_signing/upload", auth=Auth.USER)
async def upload_cross_signing_keys(req: UserRequest, edge: KeysEdge) -> Json:
    """CS uploadCrossSigningKeys.

    Errors: 401 until authenticated, M_INVALID_SIGNATURE, M_MISSING_PARAM, M_FORBIDDEN,
    M_BAD_JSON, M_INVALID_PARAM, M_TOO_LARGE.
    """
    body = req.body(UploadCrossSigningKeysBody)
    keys = {
        Usage.MASTER: body.master_key,
        Usage.SELF_SIGNING: body.self_signing_key,
        Usage.USER_SIGNING: body.user_signing_key,
    }
    given = {usage: key for usage, key in keys.items() if key is not None}
    await edge.cross_signing.upload(req.requester, given, auth=body.auth)
    return {}


@endpoint("POST", "/_matrix/client/v3/keys/signatures/upload", auth=Auth.USER)
async def upload_cross_signing_signatures(req: UserRequest, edge: KeysEdge) -> Json:
    """CS uploadCrossSigningSignatures. Errors: M_BAD_JSON, M_INVALID_PARAM."""
    uploaded: dict[UserId, dict[str, object]] = {}
    for user_id, keys in req.json_object().items():
        if not isinstance(keys, dict):
            raise BadJson("the body must be {user_id: {key_id: key}}")
        uploaded[parse_user_id(user_id)] = keys
    failures = await edge.signatures.upload(req.user_id, uploaded)
    return {"failures": failures}


def _uploaded(req: UserRequest) -> UploadKeysBody:
    """The body, of which only its own names are decoded.

    Were a name there twice, or anything but what was decoded, it would not be as long
    when it is written again. Then all of it is parsed as any body is, and written so
    that nothing can be lost.

    Raises:
        NotJson, BadJson: as `UserRequest.body`, but for what is within a key.
    """
    raw = req.raw_body
    with suppress(msgspec.DecodeError, RecursionError):
        body = _UPLOAD.decode(raw)
        if len(msgspec.json.encode(body)) == len(raw) and _ESCAPED_NUL not in raw:
            return body
    try:
        return _UPLOAD.decode(orjson.dumps(req.json_object()))
    except msgspec.ValidationError as error:
        raise BadJson(str(error).replace("`", "'")) from None


def _keys_of(raw: Raw | UnsetType) -> KeysJson:
    keys = NO_KEYS if raw is UNSET else bytes(raw)
    if not keys.startswith(b"{"):
        raise BadJson("keys must be {name: key}")
    return keys


def _device_of(req: UserRequest) -> DeviceId:
    if req.device_id is None:
        raise InvalidParam("keys belong to a device, and this token to none")
    return req.device_id
