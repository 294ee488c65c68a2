"""What waits for a bridge is not lost when the server restarts."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import DatabaseSource
from tests.features.appservice_encryption.test_keys import ALICE, GHOST, PHONE, publish
from tests.features.appservice_transactions.bridge import running_bridge
from tests.features.rooms import create_room, join
from tests.features.to_device.messages import send
from tests.server import config_for, running_server


@pytest.mark.one_process("starts servers of its own")
async def test_what_was_not_told_is_told_after_a_restart(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    config = config_for(database_source, tmp_path)
    async with running_bridge(tmp_path) as bridge:
        registered = bridge.registration(**{"org.matrix.msc3202": True})
        bridge.status = 500
        async with running_server(config) as server:
            await server.add_appservice(registered)
            room_id = await create_room(server.client(ALICE), preset="public_chat")
            await join(server.client(GHOST, device_id=PHONE), room_id)
            under_way = await bridge.take()
            await publish(server, ALICE)
            for number in (1, 2):
                await send(server.client(ALICE), number, to=GHOST)
        while not bridge.told.empty():
            bridge.told.get_nowait()
        bridge.status = 200

        async with running_server(config):
            again = await bridge.take()
            changed: list[str] = []
            messages: list[dict[str, Any]] = []
            while ALICE not in changed or len(messages) < 2:
                content = (await bridge.take()).content
                changed += content.get("device_lists", {}).get("changed", [])
                messages += content.get("to_device", [])

    assert again.txn_id == under_way.txn_id
    assert [each["content"]["n"] for each in messages] == [1, 2]
