"""How far a copy of a database is, for people and for logs."""

import sys
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from tremula.infra.db.copying import Step, Summary


class Lines:
    """A line for each table when it is done."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""

    def begun(self, step: Step, rows: int) -> None:
        """See ``Progress.begun``."""
        _write(f"{step} {rows:,} rows")

    def advanced(self, table: str, rows: int) -> None:
        """See ``Progress.advanced``: a log need not know each page."""

    def copied(self, table: str, rows: int) -> None:
        """See ``Progress.copied``."""
        _write(_line(table, rows))

    def verified(self, summary: Summary) -> None:
        """See ``Progress.verified``."""
        _write(_verified_line(summary))


class Bar:
    """A bar for each step, and above it a line for each table that is the same."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[table]}"),
        )
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def begun(self, step: Step, rows: int) -> None:
        """See ``Progress.begun``."""
        self._task = self._progress.add_task(step, total=rows, table="")

    def advanced(self, table: str, rows: int) -> None:
        """See ``Progress.advanced``."""
        self._progress.update(self._task, advance=rows, table=table)

    def copied(self, table: str, rows: int) -> None:
        """See ``Progress.copied``: the bar tells it."""

    def verified(self, summary: Summary) -> None:
        """See ``Progress.verified``."""
        self._progress.console.print(_verified_line(summary), highlight=False)


def _line(table: str, rows: int) -> str:
    return f"  {table:<28}{rows:>12,} rows"


def _verified_line(summary: Summary) -> str:
    return f"{_line(summary.table, summary.rows)}  sha256 {summary.sha256[:16]}"


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
