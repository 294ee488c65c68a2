"""The figures of docs/scaling.md, in small sizes."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bench.scaling.bus import Load, measure_bus
from bench.scaling.capacity import Behaviour, Costs, need
from bench.scaling.figures import bus_markdown, tables_markdown
from bench.scaling.tables import Table, read_tables, scattered
from tests.postgres_server import running_postgres

COSTS = Costs(
    send_cpu_ms=0.5,
    receipt_cpu_ms=0.5,
    delivery_cpu_ms=0.1,
    postgres_cpu_ms=0.2,
    hearing_cpu_ms=0.05,
    row_bytes=1_400,
    wal_bytes=1_600,
    announced_bytes=700,
    process_kb=60_000,
    client_kb=40,
)
MIGRATIONS = Path(__file__).parents[2] / "src/tremula/migrations"


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    with running_postgres() as postgres:
        found = asyncio.run(read_tables(postgres.url("postgres")))
    return {each.name: each for each in found}


def test_every_table_has_its_place(tables: dict[str, Table]) -> None:
    sql = "".join(path.read_text() for path in MIGRATIONS.glob("*.sql"))

    made = sql.count("CREATE TABLE ") - sql.count("DROP TABLE ")
    assert len(tables) - 1 == made  # that of migrations itself
    assert tables["rooms_state_changes"].kind == "room"
    assert tables["account_data"].kind == "user"
    assert tables["rooms_events"].hindrances == ["event_nid", "event_id"]


def test_a_join_of_rooms_and_users_is_told(tables: dict[str, Table]) -> None:
    found = list(scattered(tables))

    assert "joins different kinds" in {
        each.reason
        for each in found
        if set(each.tables) == {"rooms_memberships", "rooms_rooms"}
    }
    assert "`rooms_memberships`, `rooms_rooms`" in tables_markdown(
        list(tables.values()), found
    )


def test_a_lone_event_takes_a_message_of_each_process() -> None:
    bus = measure_bus((2, 3), (Load(writers=1, batch=1, stores=3),))

    assert [told.messages for _, told in bus.told] == [2, 3]
    assert bus.sizes.announced > bus.sizes.client_json > bus.sizes.reply
    assert "| 3 | one event alone | 3.00 |" in bus_markdown(bus)


def test_what_all_have_to_hear_bounds_how_many_users_there_can_be() -> None:
    few, many = (need(users, Behaviour(), COSTS) for users in (10**6, 10**8))

    assert few.processes >= 2
    assert few.hearing_share < 0.6 < many.hearing_share
    assert many.processes == float("inf")


def test_a_cheaper_delivery_needs_fewer_processes() -> None:
    cheaper = replace(COSTS, delivery_cpu_ms=0.05)
    dear, cheap = (need(10**6, Behaviour(), costs) for costs in (COSTS, cheaper))

    assert cheap.processes < dear.processes
    assert cheap.postgres_cores == dear.postgres_cores
