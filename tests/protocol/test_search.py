"""Text as it is searched for: what an index names, and what matches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.protocol.errors import InvalidParam
from tremula.protocol.search_query import SearchQuery, matches_beginnings
from tremula.protocol.search_text import fold, index_terms, take_apart

TEXTS = st.text(
    st.sampled_from(
        "ab e\u0301éüÜßSs1_-'你好世界のカｶ학สวั👍🏽हि\u200dक Ａﬁ\n\"*\\ 𠀀İ"
    ),
    max_size=40,
)


@given(TEXTS, TEXTS)
def test_an_index_names_every_text_that_matches(term: str, text: str) -> None:
    """The index may name others: each is looked at. It must not leave any out."""
    query = SearchQuery.parse(term)
    terms = index_terms(text)

    is_named = all(
        any(each.startswith(wanted.text) for each in terms)
        if wanted.is_prefix
        else wanted.text in terms
        for wanted in query.index_terms()
    )

    if query.rank(text) is not None:
        assert is_named


@given(TEXTS)
def test_a_text_finds_itself(text: str) -> None:
    query = SearchQuery.parse(text)

    assert query.is_empty or query.rank(text) is not None
    assert matches_beginnings(take_apart(text), text)


@given(TEXTS)
def test_terms_hold_nothing_that_an_engine_could_take_for_syntax(text: str) -> None:
    for term in index_terms(text):
        assert term
        assert not set(term) & set(" \"'*():&|!\\^-+<>\n\t\0")


@given(TEXTS)
def test_what_people_do_not_tell_apart_is_the_same(text: str) -> None:
    assert fold(text.upper()) == fold(text.lower())


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("muller", "Müller"),
        ("MÜLLER", "mu\u0308ller"),
        ("strasse", "Straße"),
        ("\uff46\uff55\uff4c\uff4c", "full"),
        ("世界", "你好世界"),
        ("界", "你好世界"),
        ("ハンカク", "半角ﾊﾝｶｸ"),
        ("학교", "학교에서"),
        ("วัสดี", "สวัสดีครับ"),
        ("👍", "👍🏽👍🏽"),
        ("house", "houses"),
    ],
)
def test_it_is_found(term: str, text: str) -> None:
    assert SearchQuery.parse(term).rank(text)


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("hou", "houses"),
        ("ouse", "house"),
        ("世你", "你世界"),
        ("ab cd", "ab only"),
        ("你好 世界", "你好"),
    ],
)
def test_it_is_not_found(term: str, text: str) -> None:
    assert SearchQuery.parse(term).rank(text) is None


def test_more_is_better_and_the_whole_phrase_best() -> None:
    query = SearchQuery.parse("quick fox")

    ranks = [
        query.rank(text)
        for text in (
            "the quick fox",
            "quick fox " + "word " * 200,
            "fox quick, quick fox-like",
            "a fox, quickly",
        )
    ]

    assert None not in ranks
    phrase, long_phrase, twice, beginning = map(float, filter(None, ranks))
    assert phrase > long_phrase > beginning
    assert twice > phrase


def test_words_are_highlighted_as_they_are_written() -> None:
    query = SearchQuery.parse("muller 世界 hous")

    words = query.highlights(["Herr Müller, 你好世界", "Housing HOUSES for Müllers"])

    assert words == ["世界", "müller", "housing", "houses", "müllers"]


@pytest.mark.parametrize("term", ["x" * 513, " ".join(map(str, range(33)))])
def test_what_is_too_long_is_refused(term: str) -> None:
    with pytest.raises(InvalidParam):
        SearchQuery.parse(term)
