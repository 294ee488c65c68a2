"""What the doctor says of one thing."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"
    WRONG = "WRONG"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and what to do if it is wrong."""

    verdict: Verdict
    subject: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        """The line, for people to read."""
        said = f"{self.text}: {self.remedy}" if self.remedy else self.text
        return f"{self.verdict:<7}{self.subject:<16}{said}"


def ok(subject: str, text: str) -> Finding:
    """All is well."""
    return Finding(Verdict.OK, subject, text)


def note(subject: str, text: str) -> Finding:
    """Nothing is wrong, but worth knowing."""
    return Finding(Verdict.NOTE, subject, text)


def wrong(subject: str, text: str, remedy: str) -> Finding:
    """Something does not work; *remedy* says what to do."""
    return Finding(Verdict.WRONG, subject, text, remedy)
