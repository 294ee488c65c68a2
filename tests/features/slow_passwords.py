"""What happens while a password is being checked, which takes its time in a thread."""

from collections.abc import Awaitable, Callable

import pytest

from tremula.features.users.service import Passwords


def check_slowly(
    monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], Awaitable[object]]
) -> None:
    """Something happens while the next password is checked."""
    verify = Passwords.verify

    async def slowly(self: Passwords, password_hash: str | None, password: str) -> bool:
        matches = await verify(self, password_hash, password)
        monkeypatch.setattr(Passwords, "verify", verify)
        await meanwhile()
        return matches

    monkeypatch.setattr(Passwords, "verify", slowly)
