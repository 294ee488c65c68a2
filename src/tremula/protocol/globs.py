"""Glob-style matching (appendix "Glob-style Matching"), as push rules want it.

``*`` stands for any number of characters, ``?`` for one. There is no backtracking: what
is between two stars has a fixed length and is looked for once, from left to right. So a
match takes no more than the length of the text times that of the longest such part
(CVE-2021-29471); `Glob.cost` is that product.
"""

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

_WORDS: Final = re.compile("[a-z0-9_]+")
_WILDCARDS: Final = re.compile("[*?]")
_NO_WORD_BEFORE: Final = "(?<![a-z0-9_])"
_NO_WORD_AFTER: Final = "(?![a-z0-9_])"


def words_of(text: str) -> frozenset[str]:
    """The words of a text that is in lower case."""
    return frozenset(_WORDS.findall(text))


class Glob:
    """A pattern for texts in lower case; its own case does not count.

    With ``by_words`` it matches any part of a text that starts and ends at a word
    boundary: an end of the text, or a character that no word has. Else all of it.
    """

    __slots__ = ("_is_word", "_literal", "_longest", "_parts", "by_words")

    def __init__(self, pattern: str, *, by_words: bool) -> None:
        pattern = pattern.lower()
        parts = pattern.split("*")
        self.by_words = by_words
        self._literal = None if len(parts) > 1 or "?" in pattern else pattern
        self._is_word = by_words and _WORDS.fullmatch(pattern) is not None
        self._longest = max(map(len, parts))
        self._parts = _compiled(parts, by_words=by_words)

    @classmethod
    def of_phrase(cls, phrase: str) -> "Glob":
        """What matches just *phrase*, by words, in which no character is special."""
        glob = cls(_WILDCARDS.sub(" ", phrase), by_words=True)
        glob._literal = phrase.lower()
        glob._parts = _bound([re.escape(phrase.lower())], by_words=True)
        return glob

    def cost(self, text: str) -> int:
        """How much looking a match takes; 0 for what is only compared."""
        if self._is_word or (self._literal is not None and not self.by_words):
            return 0
        return len(text) * max(self._longest, 1)

    def matches(self, text: str, words: AbstractSet[str] = frozenset()) -> bool:
        """Whether *text* matches; *words* are its words, for a pattern by words."""
        if self._is_word:
            return self._literal in words
        if self._literal is not None and not self.by_words:
            return text == self._literal
        pos = 0
        for part in self._parts:
            found = part.search(text, pos)
            if found is None:
                return False
            pos = found.end()
        return True


def _compiled(parts: Sequence[str], *, by_words: bool) -> list[re.Pattern[str]]:
    """A regular expression without repetitions for each part, the ends bound."""
    texts = ["".join("." if c == "?" else re.escape(c) for c in p) for p in parts]
    return _bound(texts, by_words=by_words)


def _bound(texts: list[str], *, by_words: bool) -> list[re.Pattern[str]]:
    # A star at an end leaves it free.
    if texts[0]:
        texts[0] = (_NO_WORD_BEFORE if by_words else r"\A") + texts[0]
    if texts[-1]:
        texts[-1] += _NO_WORD_AFTER if by_words else r"\Z"
    return [re.compile(text, re.DOTALL) for text in texts if text]
