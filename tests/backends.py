"""What the suite runs on: a server of one process on each engine, or a cluster.

``TEST_BACKEND=cluster`` (`make test-cluster`) runs the tests of whole servers, and no
others, against two processes over one PostgreSQL.
"""

import os
from typing import Final

import pytest

CLUSTER: Final = "cluster"
IS_CLUSTER: Final = os.environ.get("TEST_BACKEND") == CLUSTER
BACKENDS: Final = (CLUSTER,) if IS_CLUSTER else ("sqlite", "postgres")

one_engine: Final = pytest.mark.parametrize(
    "postgres_or_sqlite", BACKENDS[:1], indirect=True
)
"""For a test of what happens far away from the database, and takes its time."""

table_of_refusals: Final = pytest.mark.table_of_refusals
"""For a test of many requests that are refused for what they say, with nothing stored.

SQLite has the whole table, PostgreSQL its first row: no request differs in what it asks
the database for. So has a cluster.
"""

# They open a database by themselves, without a server.
_ONE_PROCESS: Final = {"database", "engine"}
_PARAMETERS: Final = ("postgres_or_sqlite", "lasting_database")


def runs_here(item: pytest.Item) -> bool:
    """Whether *item* is to run, on the backend that was chosen and on its engine."""
    callspec = getattr(item, "callspec", None)
    chosen = {} if callspec is None else callspec.params
    if chosen.get("postgres_or_sqlite") != "sqlite" and _is_another_row(item):
        return False
    if not IS_CLUSTER:
        return True
    if not isinstance(item, pytest.Function) or item.get_closest_marker("one_process"):
        return False
    return any(chosen.get(name) == CLUSTER for name in _PARAMETERS) and not (
        _ONE_PROCESS & set(item.fixturenames)
    )


def _is_another_row(item: pytest.Item) -> bool:
    """Whether *item* is of a table of refusals, and not its first row."""
    if item.get_closest_marker("table_of_refusals") is None:
        return False
    assert isinstance(item, pytest.Function)
    indices = dict(item.callspec.indices)
    indices.pop("postgres_or_sqlite")
    return any(indices.values())
