"""One's own account at the HTTP edge (CS "Account management")."""

from typing import Any

import msgspec

from tremula.features.account.service import Accounts
from tremula.features.uia.service import digest_of
from tremula.features.users.service import check_new_password
from tremula.infra.http import Auth, Json, OptionalUserRequest, UserRequest, endpoint


class ChangePasswordBody(msgspec.Struct):
    """Body of CS ``changePassword``."""

    new_password: str
    logout_devices: bool = True
    auth: object = None


class DeactivateAccountBody(msgspec.Struct):
    """Body of CS ``deactivateAccount``."""

    id_server: str | None = None
    erase: bool = False
    auth: object = None


@endpoint(
    "GET",
    "/_matrix/client/v3/account/whoami",
    auth=Auth.USER,
    limit="account",
    guest=True,
)
async def get_token_owner(req: UserRequest, _accounts: Accounts) -> Json:
    """CS getTokenOwner."""
    body: dict[str, Any] = {"user_id": req.user_id, "is_guest": req.is_guest}
    if req.device_id is not None:
        body["device_id"] = req.device_id
    return body


@endpoint(
    "POST", "/_matrix/client/v3/account/password", auth=Auth.OPTIONAL, limit="account"
)
async def change_password(req: OptionalUserRequest, accounts: Accounts) -> Json:
    """CS changePassword. Errors: 401 until authenticated, M_WEAK_PASSWORD."""
    body = req.body(ChangePasswordBody)
    check_new_password(body.new_password)
    digest = digest_of(
        {
            "new_password": body.new_password,
            "logout_devices": body.logout_devices,
        }
    )
    requester = req.requester
    proof = await accounts.authenticate(
        requester.user_id if requester else None, "changePassword", body.auth, digest
    )
    await accounts.set_password(
        proof.owner,
        body.new_password,
        logs_out=body.logout_devices,
        but_device_id=requester.device_id if requester else None,
        proof=proof,
    )
    return {}


@endpoint(
    "POST", "/_matrix/client/v3/account/deactivate", auth=Auth.OPTIONAL, limit="account"
)
async def deactivate_account(req: OptionalUserRequest, accounts: Accounts) -> Json:
    """CS deactivateAccount. Errors: 401 until authenticated."""
    body = req.body(DeactivateAccountBody)
    requester = req.requester
    proof = await accounts.authenticate(
        requester.user_id if requester else None,
        "deactivateAccount",
        body.auth,
        digest_of({"erase": body.erase}),
    )
    await accounts.deactivate(proof.owner, is_erased=body.erase, proof=proof)
    # No identity server knows any third-party identifier of our users.
    return {"id_server_unbind_result": "success"}
