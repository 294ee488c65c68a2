"""Stages in a browser, at the HTTP edge (CS "Fallback").

Nothing is completed by looking at a page: a person has to press.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from tremula.features.uia import pages
from tremula.features.uia.flows import check_next
from tremula.features.uia.service import Stage, Uia
from tremula.features.uia.storage import UiaSession
from tremula.infra.config import PolicyDocument
from tremula.infra.http import Auth, Json, Request, Response, endpoint
from tremula.infra.http.query import Query
from tremula.protocol.errors import (
    Forbidden,
    LimitExceeded,
    MatrixError,
    NotFound,
    UserLocked,
)
from tremula.protocol.unprinted import Unprinted

_PATH: Final = "/_matrix/client/v3/auth/{stage}/fallback/web"
_FORM_BYTES_MAX: Final = 8192
_STAGES: Final[Mapping[str, Stage]] = {each.value: each for each in Stage}

_FAILURES: Final[Mapping[Stage, str]] = {
    Stage.PASSWORD: "This is not the password of the account.",
    Stage.REGISTRATION_TOKEN: "This token is not valid, or not any more.",
}


class Fallback(Struct, frozen=True):
    """The stages that there are pages for."""

    uia: Uia
    server_name: str
    documents: Sequence[PolicyDocument]

    def page_of(
        self, session: UiaSession, stage: Stage
    ) -> Callable[[str | None], bytes] | None:
        """The page of a stage, which takes what went wrong; None: it has none.

        Passwords are asked only of who has proved to be logged in: nobody shall be able
        to have others confirm what they themselves began without an account.
        """
        if stage is Stage.DUMMY:
            return lambda error: pages.dummy_page(self.server_name, error)
        if stage is Stage.TERMS:
            return lambda error: pages.terms_page(
                self.server_name, self.documents, error
            )
        if stage is Stage.REGISTRATION_TOKEN:
            return lambda error: pages.token_page(self.server_name, error)
        if stage is Stage.PASSWORD and session.user_id:
            return lambda error: pages.password_page(
                session.user_id, session.operation, error
            )
        return None


class _Step(Unprinted, frozen=True):
    """What a person is to do; ``page`` takes what went wrong."""

    session_id: str
    session: UiaSession
    stage: Stage
    page: Callable[[str | None], bytes]


@endpoint("GET", _PATH, auth=Auth.NONE, limit="account")
async def show_fallback(req: Request, fallback: Fallback) -> Json:
    """The page of a stage; or the last one, if the stage is completed."""
    step = await _find_step(req, fallback)
    if isinstance(step, Response):
        return step
    return Response(200, step.page(None), pages.HEADERS)


# Limited as what else takes registration tokens, which could be guessed.
@endpoint("POST", _PATH, auth=Auth.NONE, limit="registration", max_body=_FORM_BYTES_MAX)
async def complete_fallback(req: Request, fallback: Fallback) -> Json:
    """The form of that page."""
    step = await _find_step(req, fallback)
    if isinstance(step, Response):
        return step
    try:
        fields = _fields(step, Query(req.raw_body))
        await fallback.uia.complete(step.session_id, step.stage, fields)
    except NotFound:
        return _EXPIRED
    except MatrixError as error:
        body = step.page(_words_of(error, step.stage))
        # 401 would be a question of the browser's own.
        status = 403 if isinstance(error, UserLocked) else error.http_status
        return Response(status, body, pages.HEADERS)
    return _DONE


async def _find_step(req: Request, fallback: Fallback) -> _Step | Response:
    session_id = req.query.get("session") or ""
    try:
        session = await fallback.uia.find_open(session_id)
    except NotFound:
        return _EXPIRED
    stage = _STAGES.get(req.path["stage"])
    page = None if stage is None else fallback.page_of(session, stage)
    if stage is None or page is None:
        return _UNKNOWN
    if stage in session.completed:
        return _DONE
    try:
        check_next(session.flows, session.completed, stage)
    except Forbidden:
        return _NOT_ASKED
    return _Step(session_id, session, stage, page)


def _fields(step: _Step, form: Query) -> dict[str, object]:
    """What a client would send as ``auth``; never more than the page asks for."""
    if step.stage is Stage.REGISTRATION_TOKEN:
        return {"token": (form.get("token") or "").strip()}
    if step.stage is Stage.PASSWORD:
        user = {"type": "m.id.user", "user": step.session.user_id}
        return {"identifier": user, "password": form.get("password") or ""}
    return {}


def _words_of(error: MatrixError, stage: Stage) -> str:
    if isinstance(error, LimitExceeded):
        return "There were too many attempts. Wait a little, then try again."
    if isinstance(error, Forbidden) and stage in _FAILURES:
        return _FAILURES[stage]
    return f"That did not work: {error.message}."


_DONE: Final = Response(200, pages.done_page(), pages.DONE_HEADERS)
_EXPIRED: Final = Response(400, pages.expired_page(), pages.HEADERS)
_NOT_ASKED: Final = Response(403, pages.not_asked_page(), pages.HEADERS)
_UNKNOWN: Final = Response(404, pages.unknown_page(), pages.HEADERS)
