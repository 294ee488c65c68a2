"""What somebody searches for, and how well a text has it. Pure.

All that is asked for has to be in a text: a word as it is, one of four letters or more
as the beginning of a longer one, too ("house" finds "houses"); a run of characters
anywhere in another. The order counts for the rank only.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from tremula.protocol.errors import InvalidParam
from tremula.protocol.search_text import (
    WORD_CHARS_MAX,
    FoldedText,
    pairs,
    take_apart,
)

TERM_CHARS_MAX: Final = 512
"""How long a search term may be."""

_NEEDLES_MAX: Final = 32
_INDEX_TERMS_MAX: Final = 64
_HIGHLIGHTS_MAX: Final = 50
# Shorter words are the beginning of too many.
_PREFIX_CHARS_MIN: Final = 4
# What a text of so many words and runs loses half of its rank by.
_LONG_TEXT: Final = 100
_PREFIX_WORTH: Final = 0.5
_RAW_WORD: Final = re.compile(r"\w+")


class IndexTerm(Struct, frozen=True):
    """A term that an index has to have, or one that begins so."""

    text: str
    is_prefix: bool


class SearchQuery(Struct, frozen=True):
    """Words and runs that a text has to have, each once."""

    folded: str
    words: tuple[str, ...]
    runs: tuple[str, ...]

    @classmethod
    def parse(cls, search_term: str) -> "SearchQuery":
        """What a client searches for.

        Raises:
            InvalidParam: that is too much.
        """
        if len(search_term) > TERM_CHARS_MAX:
            raise InvalidParam(f"a search term has at most {TERM_CHARS_MAX} characters")
        parts = take_apart(search_term)
        words = tuple(dict.fromkeys(parts.words))
        runs = tuple(dict.fromkeys(parts.runs))
        if len(words) + len(runs) > _NEEDLES_MAX:
            raise InvalidParam(f"a search has at most {_NEEDLES_MAX} words")
        return cls(parts.text.strip(), words, runs)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that could be found."""
        return not (self.words or self.runs)

    def index_terms(self) -> Sequence[IndexTerm]:
        """What the index of each text that is found has: not every text that has it is
        found.
        """
        terms = dict.fromkeys(
            IndexTerm(word[:WORD_CHARS_MAX], len(word) >= _PREFIX_CHARS_MIN)
            for word in self.words
        )
        for run in self.runs:
            if len(run) == 1:
                terms[IndexTerm(run, is_prefix=True)] = None
            else:
                terms |= dict.fromkeys(IndexTerm(pair, False) for pair in pairs(run))
        return list(terms)[:_INDEX_TERMS_MAX]

    def rank(self, text: str) -> float | None:
        """How well *text* matches, above 0; None if it does not."""
        parts = take_apart(text)
        counts = Counter(parts.words)
        long = (len(parts.words) + len(parts.runs)) / _LONG_TEXT
        rank = 0.0
        for worth in self._worths(parts, counts):
            if not worth:
                return None
            # As BM25 has it: the second time says less than the first.
            rank += worth / (worth + 0.5 + long)
        needles = len(self.words) + len(self.runs)
        return rank + 1 if needles > 1 and self.folded in parts.text else rank

    def highlights(self, texts: Iterable[str]) -> list[str]:
        """The words of *texts*, which match, that did so, as they are written there."""
        found: dict[str, None] = {}
        for text in texts:
            parts = take_apart(text)
            found |= dict.fromkeys(run for run in self.runs if run in parts.text)
            for written in _RAW_WORD.findall(text):
                if any(map(self._is_wanted, take_apart(written).words)):
                    found[written.lower()] = None
        return list(found)[:_HIGHLIGHTS_MAX]

    def _worths(self, parts: FoldedText, counts: Counter[str]) -> Iterable[float]:
        for word in self.words:
            worth: float = counts[word]
            if len(word) >= _PREFIX_CHARS_MIN:
                longer = sum(
                    count
                    for other, count in counts.items()
                    if other.startswith(word) and other != word
                )
                worth += longer * _PREFIX_WORTH
            yield worth
        for run in self.runs:
            yield sum(other.count(run) for other in parts.runs)

    def _is_wanted(self, word: str) -> bool:
        return any(
            word == wanted
            or (len(wanted) >= _PREFIX_CHARS_MIN and word.startswith(wanted))
            for wanted in self.words
        )


def matches_beginnings(wanted: FoldedText, text: str) -> bool:
    """Whether each word of *wanted* begins one of *text*, and each run is in it."""
    parts = take_apart(text)
    return all(
        any(word.startswith(each) for word in parts.words) for each in wanted.words
    ) and all(any(each in run for run in parts.runs) for each in wanted.runs)
