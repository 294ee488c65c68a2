"""The page to log in on, of which tests/js/browser sees what it does."""

import re
from base64 import b64encode
from hashlib import sha256

import pytest

from tests.features.accounts import AccountsServer
from tremula.infra.config import Api

PAGE = "/_matrix/static/client/login"


@pytest.mark.parametrize("path", [PAGE, f"{PAGE}/"])
async def test_anybody_gets_the_page(accounts: AccountsServer, path: str) -> None:
    response = await accounts.client.get(path)

    assert response.status == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert b"<h1>Log in</h1>" in response.body


async def test_only_its_own_script_is_run_and_asks_only_this_server(
    accounts: AccountsServer,
) -> None:
    response = await accounts.client.get(f"{PAGE}/")

    [script] = re.findall(rb"<script>(.*?)</script>", response.body, re.DOTALL)
    digest = b64encode(sha256(script).digest()).decode()
    directives = response.headers["content-security-policy"].split("; ")
    assert set(directives) == {
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{digest}'",
        "connect-src 'self'",
        "frame-src js:",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    }
    assert not re.search(rb"https?://|\son[a-z]+=", response.body)


async def test_nothing_of_the_query_is_in_the_page(accounts: AccountsServer) -> None:
    plain = await accounts.client.get(f"{PAGE}/")

    asked = await accounts.client.get(
        f"{PAGE}/", query={"device_id": "<script>", "loginToken": "secret"}
    )

    assert (asked.status, asked.body) == (200, plain.body)


async def test_its_size_can_be_asked_for(accounts: AccountsServer) -> None:
    whole = await accounts.client.get(f"{PAGE}/")

    head = await accounts.client.request("HEAD", f"{PAGE}/")

    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.body))


async def test_it_is_served_to_clients_only(accounts: AccountsServer) -> None:
    for api in Api:
        paths = {
            bound.endpoint.path for bound in accounts.router.bound(frozenset({api}))
        }
        assert (PAGE in paths) == (api is Api.CLIENT), api
