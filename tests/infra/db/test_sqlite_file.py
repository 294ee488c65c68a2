"""How an SQLite database is connected to."""

from pathlib import Path

import apsw

from tremula.infra.db.sqlite_file import connect


def test_a_statement_is_planned_once_whatever_it_is_bound_to(tmp_path: Path) -> None:
    connection = connect(tmp_path / "things.db", cache_kib=100)
    connection.execute("CREATE TABLE things (name TEXT, kind TEXT, number BIGINT)")
    connection.execute("CREATE INDEX things_by_name ON things (name, kind)")
    asked: list[object] = []

    def allow(*what: object) -> int:
        asked.append(what)
        return apsw.SQLITE_OK

    # It is asked whenever a statement is prepared.
    connection.authorizer = allow
    asked_by = []
    for name in ("one", "another", "a third"):
        connection.execute(
            "SELECT number FROM things WHERE name = :name ORDER BY number",
            {"name": name},
        )
        asked_by.append(len(asked))

    assert asked_by == [asked_by[0]] * 3
    assert asked
    connection.close()
