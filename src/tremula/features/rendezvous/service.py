"""Sessions in which two devices exchange payloads, one at a time."""

import secrets
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.features.rendezvous import storage
from tremula.features.rendezvous.storage import Protocol, Session
from tremula.infra.clock import Clock
from tremula.infra.db import Database, Statements
from tremula.protocol.errors import Forbidden, LimitExceeded, NotFound, TooLarge

__all__ = [
    "PAYLOAD_BYTES_MAX",
    "ConcurrentWriteError",
    "Protocol",
    "Rendezvous",
    "Session",
]

PAYLOAD_BYTES_MAX: Final = 4096
SESSIONS_MAX: Final = 10_000
"""So many at once on all processes: anybody may begin one, and each weighs 4 KB."""

LIFETIME_MS: Final = 300_000
"""A login takes minutes: the codes are compared, and a provider may ask for more."""

_ID_BYTES: Final = 18
_FULL_RETRY_MS: Final = 30_000


class ConcurrentWriteError(Exception):
    """The payload is another one than the writer has seen; *session* has it."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session


class Rendezvous(Struct, frozen=True):
    """Keeps sessions, for whoever knows their IDs. They are rows, so that any process
    may answer; a single statement compares and replaces.
    """

    db: Database
    clock: Clock

    async def begin(self, protocol: Protocol, payload: bytes) -> Session:
        """A new session with *payload* in it.

        Raises:
            TooLarge: the payload is.
            LimitExceeded: there are too many sessions.
        """
        _check_size(payload)
        now_ms = self.clock.now_ms()
        session = Session(
            session_id=secrets.token_urlsafe(_ID_BYTES),
            payload=payload,
            sequence=1,
            modified_ts_ms=now_ms,
            expires_ts_ms=now_ms + LIFETIME_MS,
        )
        unit = Statements()
        storage.delete_expired(unit, now_ms)
        begun = storage.insert_session(
            unit, protocol, session, sessions_max=SESSIONS_MAX
        )
        await self.db.commit(unit)
        if not begun.rows:
            raise LimitExceeded(
                "too many logins are under way", retry_after_ms=_FULL_RETRY_MS
            )
        return session

    async def get(self, protocol: Protocol, session_id: str) -> Session:
        """What lies in a session.

        Raises:
            NotFound: there is no such session, or it has expired.
        """
        session = await storage.find_session(
            self.db, protocol, session_id, now_ms=self.clock.now_ms()
        )
        if session is None:
            raise _no_session()
        return session

    async def send(
        self, protocol: Protocol, session_id: str, payload: bytes, *, seen: str
    ) -> Session:
        """Replace the payload whose sequence number is *seen*, as it was shown.

        Raises:
            TooLarge: the payload is.
            NotFound: there is no such session, or it has expired.
            ConcurrentWriteError: the other device was faster.
        """
        _check_size(payload)
        session = await self.get(protocol, session_id)
        if seen != str(session.sequence):
            raise ConcurrentWriteError(session)
        now_ms = self.clock.now_ms()
        unit = Statements()
        updated = storage.update_payload(
            unit,
            protocol,
            session_id,
            payload,
            sequence=session.sequence,
            now_ms=now_ms,
        )
        await self.db.commit(unit)
        if not updated.rows:
            raise ConcurrentWriteError(await self.get(protocol, session_id))
        [(sequence,)] = updated.rows
        return replace(
            session, payload=payload, sequence=sequence, modified_ts_ms=now_ms
        )

    async def end(self, protocol: Protocol, session_id: str) -> None:
        """Forget a session.

        Raises:
            NotFound: there is no such session, or it has expired.
        """
        unit = Statements()
        deleted = storage.delete_session(
            unit, protocol, session_id, now_ms=self.clock.now_ms()
        )
        await self.db.commit(unit)
        if not deleted.rows:
            raise _no_session()


def check_fetch_mode(fetch_mode: str | None) -> None:
    """Refuse to show what anybody may have put there to who follows a link to it.

    Raises:
        Forbidden: *fetch_mode*, the header ``Sec-Fetch-Mode``, says that.
    """
    if fetch_mode == "navigate":
        raise Forbidden("this is for clients only")


def _check_size(payload: bytes) -> None:
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise TooLarge(f"a payload has at most {PAYLOAD_BYTES_MAX} bytes")


def _no_session() -> NotFound:
    return NotFound("there is no such session, or it has expired")
