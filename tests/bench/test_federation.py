"""The benchmarks of federation, as small as they can be."""

from pathlib import Path

from bench.federation.inbound import InboundPdus
from bench.federation.joining import JoinLargeRoom
from bench.federation.resolution import ResolveFork
from bench.federation.run import PARTS, FederationPlan, run_federation
from bench.federation.sizes import Sizes
from bench.federation.state_storage import StateStorage
from bench.results import load_reports
from bench.rows import ROWS
from bench.table import markdown
from tests.conftest import DatabaseSource
from tremula.infra.config import SqliteFile

_TINY = Sizes(
    inbound={
        "inbound_one_room": InboundPdus(rooms=1, pdus=60),
        "inbound_many_rooms": InboundPdus(rooms=3, pdus=60),
    },
    join=JoinLargeRoom(members=20),
    storage={
        "state_linear": StateStorage(members=3, messages=10),
        "state_forked": StateStorage(members=3, messages=20, fork_every=5),
        "state_large": StateStorage(members=1, joins=20, messages=10),
    },
    resolution=ResolveFork(members=50, conflicts=10),
)


async def test_all_of_it_runs_and_has_its_rows_in_the_table(tmp_path: Path) -> None:
    plan = FederationPlan(
        sizes=_TINY,
        parts=tuple(PARTS),
        engines=("sqlite",),
        synapse_venv=None,
        folder=tmp_path,
        file=tmp_path / "report.json",
        command="python -m bench federation",
    )

    report = await run_federation(plan)

    assert [result.error for result in report.results] == [None] * 8
    measured = {result.scenario for result in report.results}
    # The last one takes a Synapse.
    assert measured == {
        *(*_TINY.inbound, *_TINY.storage, "resolution"),
        *("join_handwritten", "join_tremula"),
    }
    table = markdown(report).split("\n\n", 1)[0]
    figures = [line.rsplit("|", 2)[1].strip() for line in table.splitlines()[2:]]
    assert len(figures) == sum(row.scenario in measured for row in ROWS)
    assert all(figures)
    assert load_reports([plan.file]) == report


async def test_a_linear_room_stores_only_changes(
    database_source: DatabaseSource,
) -> None:
    scenario = StateStorage(members=4, messages=20, change_every=10)

    figures = await scenario.run(database_source)

    assert figures["rows"] == 2 / 20
    # Create, power levels, join rules, who made it, and the four.
    assert figures["snapshot_rows"] == 8


async def test_a_fork_costs_the_same_in_a_larger_room(tmp_path: Path) -> None:
    small, large = [
        await StateStorage(members=members, messages=20, fork_every=5).run(
            SqliteFile(tmp_path / f"{members}.db")
        )
        for members in (10, 40)
    ]

    # Four forks of two changes each: more than one row a change, and little more.
    assert 8 / 24 < small["rows"] < 24 / 24
    assert large["rows"] == small["rows"]
    assert large["snapshot_rows"] == small["snapshot_rows"] + 30
