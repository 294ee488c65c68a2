"""Namespaces of application services: what matches, what may, and what it costs."""

import re
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.protocol.errors import InvalidParam
from tremula.protocol.namespaces import (
    Pattern,
    PrefixIndex,
    check_regex,
    literal_prefix,
)


@pytest.mark.parametrize(
    ("regex", "text", "matches"),
    [
        ("@irc_.*", "@irc_alice:example.org", True),
        ("@irc_.*", "@ircalice:example.org", False),
        ("@irc_", "@irc_alice:example.org", True),
        ("irc", "@irc_alice:example.org", False),
        (r"@bot:example\.org", "@bot:example.org", True),
        (r"@bot:example\.org", "@bot:exampleXorg", False),
        (r"^@irc_[0-9]+:example\.org$", "@irc_12:example.org", True),
        (r"^@irc_[0-9]+:example\.org$", "@irc_12:example.org.evil", False),
        ("@a.*|@b.*", "@b:example.org", True),
        ("@a?b", "@b:example.org", True),
        ("(?i)@IRC_.*", "@irc_alice:example.org", True),
        ("@a.b", "@a\nb", True),
    ],
)
def test_a_pattern_matches_from_the_start(
    regex: str, text: str, *, matches: bool
) -> None:
    assert Pattern(regex).matches(text) is matches


@pytest.mark.parametrize(
    ("regex", "prefix"),
    [
        ("@irc_.*", "@irc_"),
        (r"^@irc\.x\_a+b", "@irc.x_a"),
        ("@ab*", "@a"),
        ("@ab?", "@a"),
        ("@ab{0,2}", "@a"),
        (r"@a\d", "@a"),
        ("@(a|b)", ""),
        ("a|b", ""),
        (".*", ""),
        ("(?i)a", ""),
        ("", ""),
    ],
)
def test_the_prefix_is_what_is_literal(regex: str, prefix: str) -> None:
    assert literal_prefix(regex) == prefix


_PIECES = st.lists(
    st.sampled_from([*r"ab.*+?^$|()[]{}\-", "{2}", r"\.", "(?i)", "[ab]", ".*"]),
    max_size=8,
).map("".join)


@given(regex=_PIECES, text=st.text("abAB.", max_size=6))
def test_whatever_matches_begins_with_the_prefix(regex: str, text: str) -> None:
    try:
        check_regex(regex)
    except InvalidParam:
        return
    found = PrefixIndex[str]()
    found.add(literal_prefix(regex), regex)
    whole = Pattern(f"(?:{regex})")
    if whole.matches(text):
        assert Pattern(regex).matches(text)
        assert list(found.candidates(text)) == [regex]


@pytest.mark.parametrize("regex", ["[", "(?=a)b", r"(a)\1", r"\p{L}{1000}"])
def test_what_cannot_be_matched_in_linear_time_is_refused(regex: str) -> None:
    with pytest.raises(InvalidParam, match="regular expression"):
        check_regex(regex)


def test_an_evil_regex_takes_no_time() -> None:
    pattern = Pattern("(a|aa)+" * 30 + "b$")
    started = process_time()

    assert not pattern.matches("a" * 250)

    assert process_time() - started < 1


def test_the_index_forgets_what_is_removed() -> None:
    index = PrefixIndex[int]()
    index.add("@a", 1)
    index.add("@a", 2)
    index.add("@b", 3)
    index.add("", 4)
    index.remove("@a", 1)
    index.remove("@b", 3)

    assert sorted(index.candidates("@alice")) == [2, 4]
    assert list(index.candidates("@bob")) == [4]

    index.remove("@a", 2)
    index.remove("", 4)

    assert not list(index.candidates("@alice"))


def test_escaped_text_stands_for_itself() -> None:
    text = "@a.b+c:example.org"

    assert literal_prefix(re.escape(text)) == text
