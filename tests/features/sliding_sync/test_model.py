"""Whatever happens, a client that applies each answer has what the server has."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.dice import thrown
from tests.features.acting import USERS, act_over_a_restart
from tests.features.sliding_sync.model import SlidingModel
from tests.features.sync.model import pages_back, state_of
from tests.features.sync.test_model import STEPS, World
from tests.server import Server
from tremula.infra.config import PostgresUrl, SqliteFile


@dataclass(slots=True)
class SlidingWorld(World):
    """The same users, with clients that look at windows of their rooms."""

    clients_of_users: list[SlidingModel] = field(default_factory=list)

    async def enter(self, server: Server) -> None:
        await World.enter(self, server)
        self.models = []
        if not self.clients_of_users:
            self.clients_of_users = [
                SlidingModel(self.clients[user_id], user_id, self.random)
                for user_id in USERS
                for _ in range(2)
            ]
        for at, model in enumerate(self.clients_of_users):
            model.client = self.clients[model.user_id]
            model.conn_id = str(at)

    async def step(self) -> None:
        await World.step(self)
        for model in self.clients_of_users:
            if self.random.random() < 0.25:
                await model.sync()

    async def check(self) -> None:
        for model in self.clients_of_users:
            await model.sync_all()
            joined = await model.client.get("/v3/joined_rooms")
            assert set(model.joined) == set(joined.json["joined_rooms"])
            for room_id, room in model.joined.items():
                state = await state_of(model.client, room_id)
                assert room.state == state, (model.user_id, room_id)
            for room_id, room in (model.joined | model.left).items():
                pages = await pages_back(model.client, room_id, {})
                if pages is not None and not room.has_gap:
                    assert room.timeline == pages, (model.user_id, room_id)


async def test_a_client_has_what_the_server_has(
    database_source: SqliteFile | PostgresUrl, tmp_path: Path
) -> None:
    """Whatever windows it looks through."""
    world = SlidingWorld(thrown("SYNC_SEED"))
    await act_over_a_restart(world, database_source, tmp_path, steps=STEPS)
