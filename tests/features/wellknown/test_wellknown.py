"""CS getWellknown and SS getWellKnown."""

import pytest

from tests.features.accounts import AccountsServer, Policy
from tremula.protocol.identifiers import ServerName

CLIENT = "/.well-known/matrix/client"
SERVER = "/.well-known/matrix/server"


@pytest.mark.parametrize("policy", [Policy(base_url="https://matrix.test")])
async def test_clients_are_told_where_the_server_is(accounts: AccountsServer) -> None:
    response = await accounts.client.get(CLIENT)

    assert response.json == {"m.homeserver": {"base_url": "https://matrix.test"}}


@pytest.mark.parametrize(
    "policy", [Policy(delegate=ServerName("matrix.test:443"))], ids=["delegated"]
)
async def test_servers_are_told_where_the_server_is(accounts: AccountsServer) -> None:
    response = await accounts.client.get(SERVER)

    assert response.json == {"m.server": "matrix.test:443"}


@pytest.mark.parametrize("path", [CLIENT, SERVER])
async def test_nothing_is_told_unless_configured(
    path: str, accounts: AccountsServer
) -> None:
    response = await accounts.client.get(path)

    assert (response.status, response.json["errcode"]) == (404, "M_NOT_FOUND")
