"""Argon2id off the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from tremula.infra.config import PasswordHashing
from tremula.protocol.errors import InvalidParam, LimitExceeded, WeakPassword

PASSWORD_CHARS_MIN: Final = 8
PASSWORD_CHARS_MAX: Final = 512

_THREADS: Final = 2
_WAITING_MAX: Final = 64
_RETRY_AFTER_MS: Final = 2000


def check_new_password(password: str) -> None:
    """Refuse what is too easily guessed, or too long to be a password.

    Raises:
        WeakPassword: *password* is too short.
        InvalidParam: it is too long.
    """
    if len(password) < PASSWORD_CHARS_MIN:
        raise WeakPassword(f"a password has at least {PASSWORD_CHARS_MIN} characters")
    check_password_size(password)


def check_password_size(password: str) -> None:
    """Refuse what no account can have as its password.

    Raises:
        InvalidParam: *password* is too long.
    """
    if len(password) > PASSWORD_CHARS_MAX:
        raise InvalidParam(f"a password has at most {PASSWORD_CHARS_MAX} characters")


class Passwords:
    """Hashes and verifies passwords in a few threads.

    Each verification takes memory and milliseconds by design: no more than 64 wait
    at once, and each of the threads holds ``cost.memory_kib`` while it works.
    """

    def __init__(self, cost: PasswordHashing) -> None:
        self._hasher = PasswordHasher(
            time_cost=cost.time_cost,
            memory_cost=cost.memory_kib,
            parallelism=cost.parallelism,
        )
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="argon2")
        self._waiting = 0
        self._nobodys_hash: str | None = None

    async def hash(self, password: str) -> str:
        """The encoded hash of *password*, with its own salt and parameters.

        Raises:
            LimitExceeded: too many passwords are being hashed.
        """
        self._enter()
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._threads, self._hasher.hash, password
            )
        finally:
            self._waiting -= 1

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether *password* belongs to *password_hash*; no hash: never.

        Takes as long without a hash, so that time does not tell who has an account.

        Raises:
            LimitExceeded: too many passwords are being hashed.
        """
        self._enter()
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._threads, self._verify, password_hash, password
            )
        finally:
            self._waiting -= 1

    def is_outdated(self, password_hash: str) -> bool:
        """Whether *password_hash* was made with another cost than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _enter(self) -> None:
        if self._waiting >= _WAITING_MAX:
            raise LimitExceeded(
                "too many logins at once", retry_after_ms=_RETRY_AFTER_MS
            )
        self._waiting += 1

    def _verify(self, password_hash: str | None, password: str) -> bool:
        matches = self._matches(password_hash or self._dummy(), password)
        return matches and password_hash is not None

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except VerifyMismatchError:
            return False

    def _dummy(self) -> str:
        # Two threads may both make one: either will do.
        if self._nobodys_hash is None:
            self._nobodys_hash = self._hasher.hash("")
        return self._nobodys_hash
