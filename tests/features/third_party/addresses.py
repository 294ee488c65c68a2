"""What tests of e-mail addresses do again and again."""

import re
from itertools import count
from typing import Any

from tests.http_client import Client, HttpResponse
from tests.server import PASSWORD, UserClient
from tests.smtp_server import Delivered, SmtpServer

SECRET = "a.client=secret_-1"
EMAIL = "alice@example.org"

_attempts = count(1)
_LINK = re.compile(r"https://test(/_matrix/tremula/email/submit_token\S+)")


async def request_token(
    client: Client, purpose: str, email: object = EMAIL, **more: object
) -> HttpResponse:
    """Ask for a mail: to ``register``, ``account/password`` or ``account/3pid``."""
    body = {
        "email": email,
        "client_secret": SECRET,
        "send_attempt": next(_attempts),
        **more,
    }
    return await client.post(f"/v3/{purpose}/email/requestToken", body)


def link_in(mail: Delivered) -> str:
    """The path that a mail leads to."""
    found = _LINK.search(mail.text)
    assert found, mail.text
    assert found[1] in mail.part("text/html").replace("&amp;", "&")
    return found[1]


async def prove(
    client: Client,
    smtp: SmtpServer,
    purpose: str,
    email: str = EMAIL,
    *,
    secret: str = SECRET,
) -> dict[str, str]:
    """Ask for a mail and follow its link; what proves the address from then on."""
    response = await request_token(client, purpose, email, client_secret=secret)
    assert response.status == 200, response.body
    mail = await smtp.take()
    assert mail.envelope_to == [email]
    confirmed = await client.post(link_in(mail), body=b"")
    assert confirmed.status == 200, confirmed.body
    return {"sid": response.json["sid"], "client_secret": secret}


def password_auth(user: UserClient) -> dict[str, Any]:
    """The stage of the password."""
    return {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user.user_id},
        "password": PASSWORD,
    }


async def add(user: UserClient, smtp: SmtpServer, email: str = EMAIL) -> HttpResponse:
    """Prove an address and add it to the user's account."""
    creds = await prove(user, smtp, "account/3pid", email)
    return await user.post(
        "/v3/account/3pid/add", {**creds, "auth": password_auth(user)}
    )


async def addresses_of(user: Client) -> list[str]:
    """The addresses of an account."""
    response = await user.get("/v3/account/3pid")
    assert response.status == 200, response.body
    return [each["address"] for each in response.json["threepids"]]
