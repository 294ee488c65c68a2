"""Copies until it reaches a point, and is killed there (see test_stopped_copies)."""

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path

from tests.infra.db.copying.copies import WITH_THINGS
from tremula.infra.config.tree import PostgresUrl, SqliteFile
from tremula.infra.db.copying import Step, Summary, copy_database


class Killer:
    """A ``Progress`` that kills its process when *point* is told for the nth time."""

    def __init__(self, point: str, nth: int) -> None:
        self._point = point
        self._nth = nth
        self._told: Counter[str] = Counter()

    def begun(self, step: Step, rows: int) -> None:
        self._reach(f"begun {step}")

    def advanced(self, table: str, rows: int) -> None:
        self._reach(f"advanced {table}")

    def copied(self, table: str, rows: int) -> None:
        self._reach(f"copied {table}")

    def verified(self, summary: Summary) -> None:
        self._reach(f"verified {summary.table}")

    def _reach(self, point: str) -> None:
        self._told[point] += 1
        if point == self._point and self._told[point] == self._nth:
            os.kill(os.getpid(), signal.SIGKILL)


def _database(text: str) -> SqliteFile | PostgresUrl:
    return PostgresUrl(text) if "://" in text else SqliteFile(Path(text))


if __name__ == "__main__":
    read, written, place, number = sys.argv[1:]
    asyncio.run(
        copy_database(
            _database(read),
            _database(written),
            Killer(place, int(number)),
            migrations=WITH_THINGS,
        )
    )
