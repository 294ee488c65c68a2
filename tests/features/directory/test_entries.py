"""Searching and paging the published rooms."""

import pytest

from tremula.features.directory.entries import Entry, PageToken, Search, page
from tremula.protocol.errors import InvalidParam


def entry(room_id: str, joined_count: int, text: str = "") -> Entry:
    return Entry(
        room_id=room_id,
        joined_count=joined_count,
        room_type="m.space" if text == "space" else None,
        is_federated=True,
        shown={"room_id": room_id},
        search_text=text.casefold(),
    )


def ids(answer: dict[str, object]) -> list[str]:
    chunk = answer["chunk"]
    assert isinstance(chunk, list)
    return [room["room_id"] for room in chunk]


RANKED = sorted((entry(f"!{n}", 100 - n // 3) for n in range(10)), key=lambda e: e.rank)


def test_pages_lead_forwards_and_back_again() -> None:
    first = page(RANKED, since=None, limit=4)
    second = page(RANKED, since=PageToken.parse(first["next_batch"]), limit=4)
    third = page(RANKED, since=PageToken.parse(second["next_batch"]), limit=4)
    back = page(RANKED, since=PageToken.parse(third["prev_batch"]), limit=4)

    assert ids(first) + ids(second) + ids(third) == [e.room_id for e in RANKED]
    assert "prev_batch" not in first
    assert "next_batch" not in third
    assert back == second


def test_a_room_that_comes_between_two_pages_repeats_no_other() -> None:
    first = page(RANKED, since=None, limit=5)
    grown = [entry("!new", 1000), *RANKED]
    second = page(grown, since=PageToken.parse(first["next_batch"]), limit=5)

    assert ids(second) == [e.room_id for e in RANKED[5:]]


@pytest.mark.parametrize("raw", ["", "x", "AAAA", "WzEsMl0=", "é"])
def test_a_malformed_token_is_refused(raw: str) -> None:
    with pytest.raises(InvalidParam):
        PageToken.parse(raw)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        (Search(), True),
        (Search(term="ASPEN"), True),
        (Search(term="oak"), False),
        (Search(room_types=frozenset({None})), True),
        (Search(room_types=frozenset({"m.space"})), False),
        (Search(room_types=frozenset()), False),
    ],
)
def test_a_search_matches_text_and_type(search: Search, found: bool) -> None:
    assert search.matches(entry("!a", 1, "Quaking Aspen")) is found
