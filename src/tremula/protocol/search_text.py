"""Text as searching sees it: folded, and taken apart into words and runs.

A *word* is of a script that puts something between its words. What is written without
(Chinese, Japanese, Korean, Thai, Lao, Khmer, Burmese), and emoji, come in *runs*, in
which anything that is asked for may begin anywhere.

An index holds *terms*: the words, and of a run each pair of neighbours and its last
character. So a pair is found as it is, and one character as the beginning of a term.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Final

from msgspec import Struct

TEXT_CHARS_MAX: Final = 20_000
"""How much of a text is looked at."""

WORD_CHARS_MAX: Final = 64
"""Of a longer word, as many characters are a term."""

# Accents and other marks that people leave out when they search, and what can't be
# seen: joiners, variation selectors, skin tones.
_IGNORED: Final = re.compile(
    "[\u00ad\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u200b-\u200f\u2060\ufe00-\ufe0f\ufeff\U0001f3fb-\U0001f3ff]"
)
_RUN: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff"
    # Symbols, among them those that became emoji.
    "\u2190-\u2bff\U0001f000-\U0001fbff"
    "\u3005-\u3007\u3040-\u30fa\u30fc-\u318f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua000-\ua4cf\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Scripts of India and Tibet write vowels as marks, which `\w` leaves out.
_WITH_MARKS: Final = "\u0900-\u0963\u0966-\u0dff\u0f40-\u0fbc"
_ASCII_WORD: Final = re.compile("[a-z0-9]+")


class FoldedText(Struct, frozen=True):
    """A text that was folded and taken apart; both lists in the text's order."""

    text: str
    words: tuple[str, ...]
    runs: tuple[str, ...]


def fold(text: str) -> str:
    """*text* without what people don't tell apart: case, accents, width of letters."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", _IGNORED.sub("", decomposed).casefold())


def take_apart(text: str) -> FoldedText:
    """The words and runs of *text*: 3 µs for a short message, 30 if it isn't ASCII."""
    folded = fold(text[:TEXT_CHARS_MAX])
    if folded.isascii():
        return FoldedText(folded, tuple(_ASCII_WORD.findall(folded)), ())
    words: list[str] = []
    runs: list[str] = []
    for match in _parts().finditer(folded):
        (words if match["run"] is None else runs).append(match[0])
    return FoldedText(folded, tuple(words), tuple(runs))


@cache
def _parts() -> re.Pattern[str]:
    """Words and runs. Compiled when first needed: that takes 4 ms."""
    return re.compile(f"(?P<run>[{_RUN}]+)|(?:[^\\W_{_RUN}]|[{_WITH_MARKS}])+")


def index_terms(text: str) -> set[str]:
    """What an index holds of *text*: letters, digits and symbols only."""
    parts = take_apart(text)
    terms = set(parts.words)
    if max(map(len, terms), default=0) > WORD_CHARS_MAX:
        terms = {word[:WORD_CHARS_MAX] for word in terms}
    for run in parts.runs:
        terms.update(pairs(run))
        terms.add(run[-1])
    return terms


def pairs(run: str) -> Iterator[str]:
    """Each two characters of *run* that stand beside each other."""
    return (run[at : at + 2] for at in range(len(run) - 1))
