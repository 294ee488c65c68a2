"""Paths to properties (appendix "Dot-separated property paths")."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.protocol.property_paths import parse_property_path


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("content.body", ("content", "body")),
        (r"content.m\.relates_to", ("content", "m.relates_to")),
        (r"content.m\\foo", ("content", r"m\foo")),
        # "Other escape sequences are left as-is".
        (r"content.\x", ("content", r"\x")),
        ("content.\\", ("content", "\\")),
        (".", ("", "")),
        ("", ("",)),
    ],
)
def test_paths_are_taken_apart(path: str, names: tuple[str, ...]) -> None:
    assert parse_property_path(path) == names


@given(st.lists(st.text(alphabet="a.\\b\n"), min_size=1))
def test_escaped_names_come_out_as_they_were(names: list[str]) -> None:
    path = ".".join(n.replace("\\", r"\\").replace(".", r"\.") for n in names)

    assert parse_property_path(path) == tuple(names)
