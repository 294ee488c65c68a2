"""Columns of text, as people and `cut` read them."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write *rows* under *header* to standard output."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def date(ts_ms: int) -> str:
    """A time as a date and minute of UTC."""
    return datetime.fromtimestamp(ts_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
