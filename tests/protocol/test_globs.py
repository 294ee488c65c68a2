"""Globs (appendix "Glob-style Matching"), whole and by words."""

import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.protocol.globs import Glob, words_of

LETTERS = "ab_ -É"
PATTERNS = st.text(alphabet=f"{LETTERS}*?", max_size=6)
TEXTS = st.text(alphabet=LETTERS, max_size=8)


def literally(pattern: str, text: str) -> bool:
    """The appendix, word for word, trying everything."""

    @cache
    def fits(at: int, pos: int) -> bool:
        if at == len(pattern):
            return pos == len(text)
        if pattern[at] == "*":
            return fits(at + 1, pos) or (pos < len(text) and fits(at, pos + 1))
        if pos == len(text):
            return False
        return pattern[at] in {"?", text[pos]} and fits(at + 1, pos + 1)

    return fits(0, 0)


def is_boundary(text: str, pos: int, *, before: bool) -> bool:
    """Whether no word goes on at a place of *text*."""
    at = pos - 1 if before else pos
    return not (0 <= at < len(text) and re.fullmatch("[A-Za-z0-9_]", text[at]))


def by_words(pattern: str, text: str) -> bool:
    """CS "event_match": "any substring which starts and ends at a word boundary"."""
    return any(
        literally(pattern, text[start:end])
        for start in range(len(text) + 1)
        for end in range(start, len(text) + 1)
        if is_boundary(text, start, before=True)
        and is_boundary(text, end, before=False)
    )


def matches(pattern: str, text: str, *, words: bool = False) -> bool:
    lower = text.lower()
    return Glob(pattern, by_words=words).matches(lower, words_of(lower))


@given(PATTERNS, TEXTS)
def test_a_whole_text_matches_as_the_appendix_says(pattern: str, text: str) -> None:
    expected = literally(pattern.lower(), text.lower())

    assert matches(pattern, text) is expected


@given(PATTERNS.filter(bool), TEXTS)
def test_words_match_as_the_specification_says(pattern: str, text: str) -> None:
    expected = by_words(pattern.lower(), text.lower())

    assert matches(pattern, text, words=True) is expected


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("lunc?*", "Lunch plans"), ("lunc?*", "LUNCH"), ("", ""), ("a\n*", "A\nb")],
)
def test_these_match_as_a_whole(pattern: str, text: str) -> None:
    assert matches(pattern, text)


@pytest.mark.parametrize("text", [" lunch", "lunc"])
def test_these_do_not(text: str) -> None:
    assert not matches("lunc?*", text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("ex*ple", "An example event."),
        ("ex*ple", "exple"),
        ("ex*ple", "An exciting triple-whammy"),
        ("tea time", "It is TEA TIME!"),
        ("茶", "お茶、どうぞ"),
        ("*", ""),
    ],
)
def test_these_match_by_words(pattern: str, text: str) -> None:
    assert matches(pattern, text, words=True)


@pytest.mark.parametrize("text", ["steam", "tea_time", "tea2"])
def test_part_of_a_word_is_none(text: str) -> None:
    assert not matches("tea", text, words=True)


@given(PATTERNS.filter(bool), TEXTS)
def test_in_a_phrase_no_character_is_special(phrase: str, text: str) -> None:
    text = f"{text}{phrase}{text}"
    plain = {ord("*"): "Ü", ord("?"): "Ö"}
    expected = by_words(
        phrase.lower().translate(plain),
        text.lower().translate(plain),
    )

    found = Glob.of_phrase(phrase).matches(text.lower(), words_of(text.lower()))

    assert found is expected


def test_what_is_only_compared_costs_nothing() -> None:
    """So that a room of ten thousand keywords can be afforded."""
    assert Glob("m.room.message", by_words=False).cost("x" * 1_000) == 0
    assert Glob("tea", by_words=True).cost("x" * 1_000) == 0


@pytest.mark.parametrize(
    ("pattern", "cost"), [("tea time", 800), ("t*me", 200), ("*", 100), ("???", 300)]
)
def test_the_cost_is_the_text_times_the_longest_part(pattern: str, cost: int) -> None:
    assert Glob(pattern, by_words=True).cost("x" * 100) == cost


def test_a_pattern_full_of_stars_is_not_slow() -> None:
    """CVE-2021-29471: each part is looked for once, so that this ends at all."""
    pattern = "*a" * 250 + "b"

    assert not matches(pattern, "a" * 60_000)
    assert not matches(pattern, "a" * 60_000, words=True)
