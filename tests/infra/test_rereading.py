"""Decisions that are made again when others were faster."""

import pytest

from tremula.infra import rereading
from tremula.infra.db import Conflict, DatabaseUnavailable
from tremula.infra.rereading import ATTEMPTS_MAX, reread_on_conflict


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rereading, "_FIRST_PAUSE_S", 0.0)


class _Contended:
    """Fails so many times."""

    def __init__(self, conflicts: int) -> None:
        self.conflicts = conflicts

    async def attempt(self) -> str:
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict("somebody was faster")
        return "done"


async def test_an_attempt_is_made_until_nobody_was_faster() -> None:
    contended = _Contended(ATTEMPTS_MAX - 1)

    assert await reread_on_conflict(contended.attempt) == "done"


async def test_who_never_comes_through_may_try_again_later() -> None:
    """503 with `Retry-After`, rather than 500."""
    contended = _Contended(ATTEMPTS_MAX + 1)

    with pytest.raises(DatabaseUnavailable, match="somebody was faster"):
        await reread_on_conflict(contended.attempt)

    assert contended.conflicts == 1
