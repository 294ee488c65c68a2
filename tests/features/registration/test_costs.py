"""What a registration asks of the database."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.query_counter import Queries, counted
from tests.server import PASSWORD, Server
from tremula.infra.db.database import Pending
from tremula.infra.db.postgres_writer import PostgresWriter

pytestmark = pytest.mark.one_process(reason="it counts what one process asks")


async def _register(server: Server, username: str) -> Queries:
    body = {"username": username, "password": PASSWORD}
    challenge = await server.anonymous.post("/v3/register", body)
    auth = {"type": "m.login.dummy", "session": challenge.json["session"]}
    with counted(server.db) as queries:
        made = await server.anonymous.post("/v3/register", {**body, "auth": auth})
    assert made.status == 200, made.body
    return queries


async def test_a_registration_is_two_reads_and_one_commit(server: Server) -> None:
    """Whether the name is taken, and the session."""
    queries = await _register(server, "alice")

    # What is looked up behind it does not count.
    asked = [each for each in queries.reads if "users" in each or "uia" in each]
    assert len(asked) == 2
    assert len(queries.units) == 1


async def test_a_registration_is_one_round_trip(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL, once its statements are known."""
    await _register(server, "alice")
    in_steps: list[str] = []
    store_in_steps: Any = vars(PostgresWriter)["_store_in_steps"]

    async def note(self: PostgresWriter, batch: Sequence[Pending]) -> object:
        sql = [each.sql for unit, _ in batch for each in unit.statements]
        in_steps.extend(each for each in sql if "INSERT INTO users" in each)
        return await store_in_steps(self, batch)

    monkeypatch.setattr(PostgresWriter, "_store_in_steps", note)
    await _register(server, "bob")

    # On SQLite, nothing ever is.
    assert not in_steps
