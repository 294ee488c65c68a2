"""Paths to properties of events (appendix "Dot-separated property paths")."""

import re
from typing import Final

# "Any literal dot or backslash found in a property name should be escaped".
_PIECES: Final = re.compile(r"\\[.\\]|\.|[^.\\]+|\\")


def parse_property_path(path: str) -> tuple[str, ...]:
    """The names of the properties that *path* leads through.

    "Other escape sequences are left as-is".
    """
    names = [""]
    for piece in _PIECES.findall(path):
        if piece == ".":
            names.append("")
        else:
            names[-1] += piece[1:] if piece in {r"\.", r"\\"} else piece
    return tuple(names)
