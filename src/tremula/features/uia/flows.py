"""The rules of user-interactive authentication, without I/O."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Protocol

from tremula.infra.db import Unit
from tremula.protocol.errors import BadJson, Forbidden, MatrixError
from tremula.protocol.unprinted import Unprinted

Flow = tuple[str, ...]
"""Stages that must be completed in this order."""


class Stage(StrEnum):
    """The authentication types that this server knows."""

    PASSWORD = "m.login.password"  # noqa: S105 - the name of a stage
    DUMMY = "m.login.dummy"
    REGISTRATION_TOKEN = "m.login.registration_token"  # noqa: S105
    EMAIL = "m.login.email.identity"
    TERMS = "m.login.terms"


PASSWORD_FLOWS: Final[tuple[Flow, ...]] = ((Stage.PASSWORD,),)


class UiaRequired(MatrixError):
    """401: stages are still to be completed, or one has failed.

    The body is that of CS "User-interactive API in the REST API", with ``errcode``
    and ``error`` only if a stage has failed.
    """

    http_status = 401

    def __init__(
        self,
        *,
        flows: Sequence[Flow],
        session_id: str,
        completed: Iterable[str],
        params: Mapping[str, object],
        failure: MatrixError | None = None,
    ) -> None:
        message = failure.message if failure else "authentication is required"
        super().__init__(message)
        self._failure = failure
        self._challenge = {
            "flows": [{"stages": list(flow)} for flow in flows],
            "params": dict(params),
            "session": session_id,
            "completed": list(completed),
        }

    def body(self) -> dict[str, Any]:
        """The JSON object of the 401 response."""
        return {**(self._failure.body() if self._failure else {}), **self._challenge}


class Guard(Protocol):
    """Sees that what a stage has proved is so until it counts."""

    async def check(self) -> None:
        """Refuse what is so no longer.

        Raises:
            Forbidden, UserLocked: as the stage itself would.
        """
        ...

    def hold(self, unit: Unit) -> None:
        """Have *unit* fail with ``Conflict`` if it is so no longer by then."""
        ...


class Proof(Unprinted, frozen=True):
    """What a stage has proved; ``guard`` None: that can't change.

    A guard lasts as long as the request, so that a stage with one ends its flow. Of one
    that is completed in a browser, before the request, ``kept`` is stored: the stage
    proves it once more by that when the request comes.
    """

    value: str
    guard: Guard | None = None
    kept: str | None = None


class Attempt(Unprinted, frozen=True):
    """A client's ``auth`` object; ``fields`` is all of it.

    ``operation`` is the operation ID of the endpoint.
    """

    stage: str | None
    session_id: str | None
    fields: Mapping[str, Any]
    operation: str

    def string(self, key: str) -> str:
        """The string *key*.

        Raises:
            BadJson: it is missing or something else.
        """
        value = self.fields.get(key)
        if not isinstance(value, str):
            raise BadJson(f"auth.{key} must be a string")
        return value


def parse_attempt(auth: object, operation: str) -> Attempt:
    """Read ``auth`` of a request for *operation*; None stands for none.

    Raises:
        BadJson: it is not an object, or ``type`` or ``session`` is not a string.
    """
    fields = {} if auth is None else auth
    if not isinstance(fields, dict):
        raise BadJson("auth must be an object")
    stage, session_id = fields.get("type"), fields.get("session")
    if stage is not None and not isinstance(stage, str):
        raise BadJson("auth.type must be a string")
    if session_id is not None and not isinstance(session_id, str):
        raise BadJson("auth.session must be a string")
    return Attempt(stage, session_id, fields, operation)


def check_next(flows: Sequence[Flow], completed: Iterable[str], stage: str) -> None:
    """Refuse a stage that does not come next in any flow.

    "Failing to follow the flows in order must result in an HTTP 401 response."

    Raises:
        Forbidden: no flow continues *completed* with *stage*.
    """
    wanted = (*completed, stage)
    if not any(flow[: len(wanted)] == wanted for flow in flows):
        raise Forbidden("this is not a stage that can be completed now")


def is_complete(flows: Sequence[Flow], completed: Iterable[str]) -> bool:
    """Whether the stages of one flow are *completed*."""
    return tuple(completed) in flows
