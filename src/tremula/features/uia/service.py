"""User-interactive authentication of dangerous operations.

A session belongs to one user, one operation and one request: it is refused with any
other, is used up by the unit that stores what it permits, and expires. Only hashes of
it are stored.
"""

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from tremula.features.uia import storage
from tremula.features.uia.flows import (
    PASSWORD_FLOWS,
    Attempt,
    Flow,
    Guard,
    Proof,
    Stage,
    UiaRequired,
    check_next,
    is_complete,
    parse_attempt,
)
from tremula.features.uia.storage import Completed, UiaSession
from tremula.infra.clock import Clock
from tremula.infra.db import Reader, Unit
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.canonical import encode_canonical
from tremula.protocol.errors import Forbidden, MatrixError, NotFound, UserLocked
from tremula.protocol.identifiers import UserId
from tremula.protocol.unprinted import Unprinted

__all__ = [
    "PASSWORD_FLOWS",
    "Attempt",
    "Authenticated",
    "Completed",
    "Flow",
    "Proof",
    "Stage",
    "StageCheck",
    "Uia",
    "UiaRequired",
    "digest_of",
]

LIFETIME_MS: Final = 30 * 60 * 1000

_SESSION_BYTES: Final = 24
_SWEEP_EVERY_S: Final = 600

StageCheck = Callable[[UserId | None, Attempt], Awaitable[Proof | None]]
"""Checks a user's attempt at a stage; returns what it proved, if anything.

Raises Forbidden or UserLocked if the attempt fails; other errors reach the client as
they are.
"""


TakeUp = Callable[[str], Awaitable[Proof]]
"""Proves once more, by the ``kept`` of a `Proof`, what was proved in a browser.

Raises Forbidden or UserLocked if that is so no longer.
"""


class _Subject(Struct, frozen=True):
    """What a session is bound to."""

    user_id: str
    operation: str
    digest: bytes


class _Progress(Unprinted, frozen=True):
    """How far a client is; ``stored`` is the row as read, None for a new session."""

    session_id: str
    subject: _Subject
    completed: Completed
    stored: UiaSession | None = None
    guards: tuple[Guard, ...] = ()


class _Unused(Unprinted, frozen=True):
    """Implements ``Guard``: a session has not been used up."""

    db: Reader
    clock: Clock
    session: UiaSession

    async def check(self) -> None:
        session = await storage.find_session(self.db, self.session.session_hash)
        if session is None or session.expires_ts_ms <= self.clock.now_ms():
            raise _REFUSED

    def hold(self, unit: Unit) -> None:
        storage.use_session(unit, self.session)


class Authenticated(Unprinted, frozen=True):
    """A request that has completed ``flows``, while its ``guards`` find it so.

    Between a check and what follows from it there is time: a password that was changed
    meanwhile is a wrong one. Of its ``units`` all but the last have failed: before
    there is another, the guards look again.
    """

    subject: _Subject
    flows: Sequence[Flow]
    completed: Completed
    guards: tuple[Guard, ...]
    units: list[JournalUnit] = field(default_factory=list[JournalUnit])

    @property
    def owner(self) -> UserId:
        """Whose account the only stage has proved the request to be about."""
        [owner] = self.completed.values()
        assert owner is not None, "the stage proves a user ID"
        return UserId(owner)


# The same answer for every reason: nothing is told of others' sessions.
_REFUSED: Final = Forbidden("the session has expired, or belongs to another request")


def digest_of(request: Mapping[str, Any]) -> bytes:
    """What a session is bound to of a request: all that matters, without ``auth``.

    Raises:
        BadJson: *request* is not canonical JSON.
    """
    return sha256(encode_canonical(request)).digest()


class Uia:
    """Demands that a request be authenticated in stages."""

    def __init__(
        self,
        db: Reader,
        journal: Journal,
        clock: Clock,
        checks: Mapping[Stage, StageCheck],
        params: Mapping[Stage, object],
        take_ups: Mapping[Stage, TakeUp] | None = None,
    ) -> None:
        self._db = db
        self._journal = journal
        self._clock = clock
        self._checks = checks
        self._params = params
        self._take_ups = take_ups or {}

    async def require(
        self,
        user_id: UserId | None,
        operation: str,
        auth: object,
        body_digest: bytes,
        *,
        flows: Sequence[Flow] = PASSWORD_FLOWS,
    ) -> Authenticated:
        """Return if *auth* completes one of the flows.

        *operation* is the operation ID of the endpoint, *body_digest* stands for the
        rest of the request (see `digest_of`). Flows with stages that this server does
        not have are left out. What is returned is to be handed to `unit_by`, which uses
        the session up, with all that a stage rests on.

        Raises:
            UiaRequired: stages are still to be completed, or one has failed.
            BadJson: *auth* is malformed.
        """
        attempt = parse_attempt(auth, operation)
        flows = [flow for flow in flows if self._checks.keys() >= set(flow)]
        subject = _Subject(user_id or "", operation, body_digest)
        # Stages may be completed at once, and each counts.
        return await reread_on_conflict(
            lambda: self._require(user_id, subject, attempt, flows)
        )

    async def _require(
        self,
        user_id: UserId | None,
        subject: _Subject,
        attempt: Attempt,
        flows: Sequence[Flow],
    ) -> Authenticated:
        progress = await self._open(attempt.session_id, subject)
        if progress is None:
            raise await self._challenge(self._begin(subject), flows, _REFUSED)
        try:
            progress = await self._advance(progress, user_id, attempt, flows)
        except (Forbidden, UserLocked) as failure:
            raise await self._challenge(progress, flows, failure) from None
        if not is_complete(flows, progress.completed):
            assert not progress.guards, "a stage with a guard ends its flow"
            raise await self._challenge(progress, flows)
        guards, completed = progress.guards, dict(progress.completed)
        if progress.stored is not None:
            guards = (_Unused(self._db, self._clock, progress.stored), *guards)
            try:
                taken_up = await self._take_up(progress.stored)
            except (Forbidden, UserLocked) as failure:
                begun = self._begin(subject)
                raise await self._challenge(begun, flows, failure) from None
            for stage, proof in taken_up.items():
                completed[stage] = proof.value
                guards = (*guards, proof.guard) if proof.guard else guards
        return Authenticated(subject, flows, completed, guards)

    async def _take_up(self, session: UiaSession) -> dict[str, Proof]:
        """What was proved in a browser, before the request, and may be so no longer."""
        return {
            stage: await take_up(kept)
            for stage, take_up in self._take_ups.items()
            if (kept := session.completed.get(stage)) is not None
        }

    async def find_open(self, session_id: str) -> UiaSession:
        """A session that stages can still be completed in, for those in a browser.

        Raises:
            NotFound: there is none, it has expired or is used up.
        """
        session = await storage.find_session(self._db, _hash(session_id))
        if session is None or session.expires_ts_ms <= self._clock.now_ms():
            raise NotFound("there is no such session")
        return session

    async def complete(
        self, session_id: str, stage: Stage, fields: Mapping[str, Any]
    ) -> None:
        """Complete a stage without the request, as `require` would with it.

        What a stage has proved under a guard is stored only if the stage can take it up
        when the request comes. Safe to repeat.

        Raises:
            NotFound: there is no such session.
            Forbidden, UserLocked: the stage has failed, or is not the next one.
            MatrixError: whatever else the check of the stage raises.
        """
        await reread_on_conflict(lambda: self._complete(session_id, stage, fields))

    async def _complete(
        self, session_id: str, stage: Stage, fields: Mapping[str, Any]
    ) -> None:
        session = await self.find_open(session_id)
        if stage in session.completed:
            return
        check_next(session.flows, session.completed, stage)
        if stage not in self._checks:
            raise Forbidden("this server has no such stage any more")
        attempt = Attempt(stage, session_id, fields, session.operation)
        proof = await self._checks[stage](UserId(session.user_id) or None, attempt)
        unit = self._journal.unit()
        value = proof.value if proof else None
        if proof and proof.guard:
            if proof.kept is None or stage not in self._take_ups:
                raise Forbidden("this stage can only be completed with the request")
            proof.guard.hold(unit)
            value = proof.kept
        storage.update_completed(
            unit, session, {**session.completed, stage.value: value}
        )
        await self._journal.commit(unit)

    async def unit_by(self, proof: Authenticated | None) -> JournalUnit:
        """A unit for what *proof* permits; None: that needs no proof.

        If it is none any more by the commit, the unit fails with ``Conflict``; then the
        next attempt (see ``infra.rereading``) is refused here. No query before that.

        Raises:
            UiaRequired: the session is used up, the password was changed since it was
                given, or the account may not be used any more.
        """
        if proof is None:
            return self._journal.unit()
        if proof.units:
            await self._check_again(proof)
        unit = self._journal.unit()
        proof.units.append(unit)
        for guard in proof.guards:
            guard.hold(unit)
        return unit

    async def _check_again(self, proof: Authenticated) -> None:
        try:
            for guard in proof.guards:
                await guard.check()
        except (Forbidden, UserLocked) as failure:
            begun = self._begin(proof.subject)
            raise await self._challenge(begun, proof.flows, failure) from None

    async def run(self) -> None:
        """Sweep every ten minutes, for the supervisor. All processes do, to no harm."""
        while True:
            await self.sweep()
            await asyncio.sleep(_SWEEP_EVERY_S)

    async def sweep(self) -> None:
        """Remove expired sessions."""
        unit = self._journal.unit()
        storage.delete_expired_sessions(unit, self._clock.now_ms())
        await self._journal.commit(unit)

    async def _open(
        self, session_id: str | None, subject: _Subject
    ) -> _Progress | None:
        if session_id is None:
            return self._begin(subject)
        try:
            session = await self.find_open(session_id)
        except NotFound:
            return None
        if (session.user_id, session.operation) != (subject.user_id, subject.operation):
            return None
        if not hmac.compare_digest(
            session.request_mac, _mac(session_id, subject.digest)
        ):
            return None
        return _Progress(session_id, subject, session.completed, stored=session)

    def _begin(self, subject: _Subject) -> _Progress:
        return _Progress(secrets.token_urlsafe(_SESSION_BYTES), subject, {})

    async def _advance(
        self,
        progress: _Progress,
        user_id: UserId | None,
        attempt: Attempt,
        flows: Sequence[Flow],
    ) -> _Progress:
        stage = attempt.stage
        # "Completed stages cannot be retried by clients": such a retry only asks how
        # far the session is, as does an attempt without a type.
        if stage is None or stage in progress.completed:
            return progress
        check_next(flows, progress.completed, stage)
        proof = await self._checks[Stage(stage)](user_id, attempt)
        value, guard = (proof.value, proof.guard) if proof else (None, None)
        return replace(
            progress,
            completed={**progress.completed, stage: value},
            guards=progress.guards if guard is None else (*progress.guards, guard),
        )

    async def _challenge(
        self,
        progress: _Progress,
        flows: Sequence[Flow],
        failure: MatrixError | None = None,
    ) -> UiaRequired:
        await self._store(progress, flows)
        return UiaRequired(
            flows=flows,
            session_id=progress.session_id,
            completed=progress.completed,
            params={
                stage.value: params
                for stage, params in self._params.items()
                if any(stage in flow for flow in flows)
            },
            failure=failure,
        )

    async def _store(self, progress: _Progress, flows: Sequence[Flow]) -> None:
        unit = self._journal.unit()
        if progress.stored is None:
            storage.insert_session(unit, self._new_session(progress, flows))
        elif progress.completed != progress.stored.completed:
            storage.update_completed(unit, progress.stored, progress.completed)
        else:
            return
        await self._journal.commit(unit)

    def _new_session(self, progress: _Progress, flows: Sequence[Flow]) -> UiaSession:
        subject = progress.subject
        return UiaSession(
            session_hash=_hash(progress.session_id),
            user_id=subject.user_id,
            operation=subject.operation,
            request_mac=_mac(progress.session_id, subject.digest),
            completed=progress.completed,
            expires_ts_ms=self._clock.now_ms() + LIFETIME_MS,
            flows=flows,
        )


def _hash(session_id: str) -> bytes:
    return sha256(session_id.encode()).digest()


def _mac(session_id: str, digest: bytes) -> bytes:
    return hmac.digest(session_id.encode(), digest, "sha256")
