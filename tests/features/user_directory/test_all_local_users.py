"""CS searchUserDirectory where ``user_directory.show_all_local_users`` is set."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.features.rooms import create_room
from tests.features.user_directory.people import found, results
from tests.server import Server, config_for, running_server
from tremula.infra.config import UserDirectory

ALICE, BOB, CAROL = "@alice:test", "@bob:test", "@carol:test"


@pytest.fixture
async def server(
    database_source: DatabaseSource, tmp_path: Path
) -> AsyncIterator[Server]:
    config = replace(
        config_for(database_source, tmp_path),
        user_directory=UserDirectory(show_all_local_users=True),
    )
    async with running_server(config) as server:
        yield server


async def test_all_users_of_this_server_are_found(server: Server) -> None:
    alice, bob, carol = map(server.client, (ALICE, BOB, CAROL))
    # In a room that Alice knows nothing of, with a name of her own there.
    await create_room(carol, preset="private_chat")
    await carol.put(f"/v3/profile/{CAROL}/displayname", {"displayname": "Karoline"})
    # In no room at all.
    assert (await bob.get("/v3/account/whoami")).status == 200

    assert await results(alice, "Bo") == [{"user_id": BOB, "display_name": "bob"}]
    assert await found(alice, BOB) == [BOB]
    assert await results(alice, "carol") == [
        {"user_id": CAROL, "display_name": "Karoline"}
    ]
    for nobody in ("ob", "alice", ":", "b\N{SNOWMAN}"):
        assert await found(alice, nobody) == []
    ignored: dict[str, object] = {"ignored_users": {BOB: {}}}
    await alice.put(f"/v3/user/{ALICE}/account_data/m.ignored_user_list", ignored)
    assert await found(alice, "bob") == []
