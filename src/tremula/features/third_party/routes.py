"""E-mail addresses of users at the HTTP edge (CS "Adding Account Administrative Contact
Information", "Account registration", "Password-based").
"""

from typing import Final

import msgspec

from tremula.features.third_party import pages
from tremula.features.third_party.contacts import Contacts
from tremula.features.third_party.identity_servers import Access
from tremula.features.third_party.letters import CONFIRM_PATH
from tremula.features.third_party.service import Medium, Purpose
from tremula.features.third_party.validations import EmailRequest
from tremula.features.uia.service import digest_of
from tremula.infra.http import (
    Auth,
    Json,
    OptionalUserRequest,
    Request,
    Response,
    UserRequest,
    endpoint,
)
from tremula.protocol.email_addresses import parse_email_address
from tremula.protocol.errors import ThreepidMediumNotSupported

_ACCOUNT: Final = "/_matrix/client/v3/account"


class EmailTokenBody(msgspec.Struct):
    """Body of ``…/email/requestToken``; ``id_server`` "is ignored when the homeserver
    handles 3PID verification".
    """

    client_secret: str
    email: str
    send_attempt: int
    next_link: str | None = None


class MsisdnTokenBody(msgspec.Struct):
    """Body of ``…/msisdn/requestToken``."""

    client_secret: str
    country: str
    phone_number: str
    send_attempt: int


class AddBody(msgspec.Struct):
    """Body of CS ``add3PID``."""

    client_secret: str
    sid: str
    auth: object = None


class BindBody(msgspec.Struct):
    """Body of CS ``bind3PID``."""

    client_secret: str
    id_server: str
    id_access_token: str
    sid: str


class Post3PIDsBody(msgspec.Struct):
    """Body of CS ``post3PIDs``."""

    three_pid_creds: BindBody


class RemoveBody(msgspec.Struct):
    """Body of CS ``delete3pidFromAccount`` and ``unbind3pidFromAccount``."""

    medium: Medium
    address: str
    id_server: str | None = None


# Proving an address


@endpoint(
    "POST",
    "/_matrix/client/v3/register/email/requestToken",
    auth=Auth.NONE,
    limit="mail",
)
async def request_token_to_register_email(req: Request, contacts: Contacts) -> Json:
    """CS requestTokenToRegisterEmail. Errors: M_INVALID_PARAM, M_THREEPID_IN_USE."""
    return await _request_token(req, contacts, Purpose.REGISTER)


@endpoint(
    "POST", f"{_ACCOUNT}/password/email/requestToken", auth=Auth.NONE, limit="mail"
)
async def request_token_to_reset_password_email(
    req: Request, contacts: Contacts
) -> Json:
    """CS requestTokenToResetPasswordEmail. Errors: M_INVALID_PARAM,
    M_THREEPID_NOT_FOUND.
    """
    return await _request_token(req, contacts, Purpose.RESET)


@endpoint("POST", f"{_ACCOUNT}/3pid/email/requestToken", auth=Auth.NONE, limit="mail")
async def request_token_to3_pidemail(req: Request, contacts: Contacts) -> Json:
    """CS requestTokenTo3PIDEmail. Errors: M_INVALID_PARAM, M_THREEPID_IN_USE,
    M_THREEPID_DENIED.
    """
    contacts.check_changes()
    return await _request_token(req, contacts, Purpose.ADD)


async def _request_token(req: Request, contacts: Contacts, purpose: Purpose) -> Json:
    body = req.body(EmailTokenBody)
    request = EmailRequest(
        purpose=purpose,
        address=parse_email_address(body.email),
        client_secret=body.client_secret,
        send_attempt=body.send_attempt,
        next_link=body.next_link,
    )
    return {"sid": await contacts.validations.begin(request)}


@endpoint(
    "POST",
    "/_matrix/client/v3/register/msisdn/requestToken",
    auth=Auth.NONE,
    limit="mail",
)
async def request_token_to_register_msisdn(req: Request, _contacts: Contacts) -> Json:
    """CS requestTokenToRegisterMSISDN. Errors: M_THREEPID_MEDIUM_NOT_SUPPORTED."""
    return _refuse_phone_number(req)


@endpoint(
    "POST", f"{_ACCOUNT}/password/msisdn/requestToken", auth=Auth.NONE, limit="mail"
)
async def request_token_to_reset_password_msisdn(
    req: Request, _contacts: Contacts
) -> Json:
    """CS requestTokenToResetPasswordMSISDN. Errors: M_THREEPID_MEDIUM_NOT_SUPPORTED."""
    return _refuse_phone_number(req)


@endpoint("POST", f"{_ACCOUNT}/3pid/msisdn/requestToken", auth=Auth.NONE, limit="mail")
async def request_token_to3_pidmsisdn(req: Request, _contacts: Contacts) -> Json:
    """CS requestTokenTo3PIDMSISDN. Errors: M_THREEPID_MEDIUM_NOT_SUPPORTED."""
    return _refuse_phone_number(req)


def _refuse_phone_number(req: Request) -> Json:
    req.body(MsisdnTokenBody)
    raise ThreepidMediumNotSupported("This server has no phone numbers.")


@endpoint("GET", CONFIRM_PATH, auth=Auth.NONE, limit="account")
async def show_confirmation(req: Request, contacts: Contacts) -> Json:
    """The page that a mail leads to: nothing happens until its button is pressed."""
    session = await contacts.validations.find(*_sid_and_token(req))
    if session is None:
        return Response(400, pages.expired_page(), pages.HEADERS)
    page = pages.confirm_page(contacts.server_name, session.address, session.purpose)
    return Response(200, page, pages.HEADERS)


@endpoint("POST", CONFIRM_PATH, auth=Auth.NONE, limit="account")
async def confirm(req: Request, contacts: Contacts) -> Json:
    """The button of that page; a form without fields."""
    session = await contacts.confirm(*_sid_and_token(req))
    if session is None:
        return Response(400, pages.expired_page(), pages.HEADERS)
    if session.next_link is not None:
        headers = {**pages.HEADERS, "Location": session.next_link}
        return Response(303, pages.confirmed_page(session.purpose), headers)
    return Response(200, pages.confirmed_page(session.purpose), pages.HEADERS)


def _sid_and_token(req: Request) -> tuple[str, str]:
    return req.query.get("sid") or "", req.query.get("token") or ""


# The addresses of an account


@endpoint("GET", f"{_ACCOUNT}/3pid", auth=Auth.USER, limit="account")
async def get_account3_pids(req: UserRequest, contacts: Contacts) -> Json:
    """CS getAccount3PIDs."""
    return {
        "threepids": [
            {
                "medium": each.medium,
                "address": each.address,
                "validated_at": each.validated_ts_ms,
                "added_at": each.added_ts_ms,
            }
            for each in await contacts.ids.of_user(req.user_id)
        ]
    }


@endpoint("POST", f"{_ACCOUNT}/3pid/add", auth=Auth.USER, limit="account")
async def add3_pid(req: UserRequest, contacts: Contacts) -> Json:
    """CS add3PID. Errors: 401 until authenticated, M_THREEPID_AUTH_FAILED,
    M_THREEPID_IN_USE, M_THREEPID_DENIED.
    """
    body = req.body(AddBody)
    digest = digest_of({"sid": body.sid, "client_secret": body.client_secret})
    await contacts.add(
        req.user_id, body.sid, body.client_secret, auth=body.auth, digest=digest
    )
    return {}


@endpoint("POST", f"{_ACCOUNT}/3pid/delete", auth=Auth.USER, limit="account")
async def delete3pid_from_account(req: UserRequest, contacts: Contacts) -> Json:
    """CS delete3pidFromAccount. Errors: M_THREEPID_DENIED."""
    body = req.body(RemoveBody)
    await contacts.remove(req.user_id, body.medium, body.address)
    return _unbound(
        is_unbound=await contacts.try_to_unbind(
            req.user_id, body.medium, body.address, body.id_server
        )
    )


# Identity servers, as far as the operator trusts any


@endpoint("POST", f"{_ACCOUNT}/3pid/bind", auth=Auth.USER, limit="account")
async def bind3_pid(req: UserRequest, contacts: Contacts) -> Json:
    """CS bind3PID. Errors: M_SERVER_NOT_TRUSTED, those of the identity server."""
    return await _bind(req, req.body(BindBody), contacts)


@endpoint("POST", f"{_ACCOUNT}/3pid", auth=Auth.USER, limit="account")
async def post3_pids(req: UserRequest, contacts: Contacts) -> Json:
    """CS post3PIDs, "an equivalent to /3pid/bind". Errors: M_SERVER_NOT_TRUSTED, those
    of the identity server.
    """
    return await _bind(req, req.body(Post3PIDsBody).three_pid_creds, contacts)


async def _bind(req: UserRequest, body: BindBody, contacts: Contacts) -> Json:
    access = Access(body.id_server, body.id_access_token)
    await contacts.identity_servers.bind(
        access, req.user_id, body.sid, body.client_secret
    )
    return {}


@endpoint("POST", f"{_ACCOUNT}/3pid/unbind", auth=Auth.USER, limit="account")
async def unbind3pid_from_account(req: UserRequest, contacts: Contacts) -> Json:
    """CS unbind3pidFromAccount. Errors: those of the identity server."""
    body = req.body(RemoveBody)
    return _unbound(
        is_unbound=await contacts.unbind(
            req.user_id, body.medium, body.address, body.id_server
        )
    )


def _unbound(*, is_unbound: bool) -> Json:
    return {"id_server_unbind_result": "success" if is_unbound else "no-support"}


# Invitations


@endpoint(
    "GET", "/_matrix/identity/v2/pubkey/isvalid", auth=Auth.OPTIONAL, limit="account"
)
async def is_pub_key_valid(req: OptionalUserRequest, contacts: Contacts) -> Json:
    """IS isPubKeyValid, of the key that invitations by e-mail are signed with."""
    return {"valid": contacts.is_own_key(req.query.require("public_key"))}
