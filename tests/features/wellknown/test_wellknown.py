"""CS getWellknown."""

import pytest

from tests.features.accounts import AccountsServer, Policy

PATH = "/.well-known/matrix/client"


@pytest.mark.parametrize("policy", [Policy(base_url="https://matrix.test")])
async def test_clients_are_told_where_the_server_is(accounts: AccountsServer) -> None:
    response = await accounts.client.get(PATH)

    assert response.json == {"m.homeserver": {"base_url": "https://matrix.test"}}


async def test_nothing_is_told_unless_configured(accounts: AccountsServer) -> None:
    response = await accounts.client.get(PATH)

    assert (response.status, response.json["errcode"]) == (404, "M_NOT_FOUND")
