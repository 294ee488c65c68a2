"""Writes ``docs/not-yet.md``: ``python -m tests.conformance.not_yet_page``."""

from pathlib import Path
from typing import Final

from tests.conformance.operations import NOT_YET, all_operations

PAGE: Final = Path(__file__).parents[2] / "docs" / "not-yet.md"

_INTRODUCTION: Final = """\
# Not yet

Of the {all} operations of the client-server API v1.19, {done} are there. These
{missing} are not: they answer `404 M_UNRECOGNIZED`, as the specification wants.

A test holds this page and the server together; the list only shrinks. It is written by
`python -m tests.conformance.not_yet_page`.
"""


def not_yet_page() -> str:
    """The page, as Markdown."""
    operations = all_operations()
    lines = [
        _INTRODUCTION.format(
            all=len(operations),
            done=len(operations) - len(NOT_YET),
            missing=len(NOT_YET),
        )
    ]
    for reason in sorted(set(NOT_YET.values())):
        lines.append(f"## {reason}\n")
        lines += [
            f"- `{operation.method} {operation.path}` ({operation.operation_id})"
            for operation in operations
            if NOT_YET.get(operation.operation_id) == reason
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(not_yet_page(), encoding="utf-8")
