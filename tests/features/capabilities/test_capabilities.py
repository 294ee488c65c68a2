"""CS getVersions, getCapabilities."""

from tests.features.accounts import AccountsServer


async def test_every_version_of_the_specification_is_listed(
    accounts: AccountsServer,
) -> None:
    answer = (await accounts.client.get("/_matrix/client/versions")).json

    assert (answer["versions"][0], answer["versions"][-1]) == ("v1.1", "v1.19")
    assert answer["unstable_features"] == {"org.x": True}


async def test_capabilities_are_those_of_this_server(accounts: AccountsServer) -> None:
    alice = await accounts.user("alice")

    answer = (await alice.get("/v3/capabilities")).json["capabilities"]

    assert answer["m.room_versions"]["default"] == "12"
    assert set(answer["m.room_versions"]["available"]) == {
        str(number) for number in range(1, 13)
    }
    assert answer["m.change_password"] == {"enabled": True}
    assert answer["m.3pid_changes"] == {"enabled": False}


async def test_capabilities_need_a_token(accounts: AccountsServer) -> None:
    assert (await accounts.client.get("/v3/capabilities")).status == 401
