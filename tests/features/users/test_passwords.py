"""Argon2id off the event loop."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.features.accounts import CHEAP_HASHING, PASSWORD
from tremula.features.users.service import Passwords
from tremula.infra.config import PasswordHashing
from tremula.protocol.errors import LimitExceeded


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords(CHEAP_HASHING)
    yield passwords
    passwords.close()


async def test_only_the_right_password_verifies(passwords: Passwords) -> None:
    password_hash = await passwords.hash(PASSWORD)

    assert await passwords.verify(password_hash, PASSWORD)
    assert not await passwords.verify(password_hash, PASSWORD + " ")
    assert not await passwords.verify(None, PASSWORD)
    # Nobody's hash belongs to a password all the same.
    assert not await passwords.verify(None, "")


async def test_a_hash_of_another_cost_is_outdated(passwords: Passwords) -> None:
    dearer = Passwords(PasswordHashing(time_cost=2, memory_kib=8))

    password_hash = await passwords.hash(PASSWORD)
    dearer.close()

    assert not passwords.is_outdated(password_hash)
    assert dearer.is_outdated(password_hash)


async def test_too_many_at_once_are_told_to_wait(passwords: Passwords) -> None:
    results = await asyncio.gather(
        *(passwords.hash(PASSWORD) for _ in range(65)), return_exceptions=True
    )

    [refused] = [each for each in results if not isinstance(each, str)]
    assert isinstance(refused, LimitExceeded)
    assert await passwords.hash(PASSWORD)
