"""What travels between members for a call: requests, replies, and errors as values."""

from enum import IntEnum
from typing import Any, Final

import msgspec
from msgspec import Struct

from tremula.infra.db import DatabaseUnavailable
from tremula.infra.slots import CallTypes
from tremula.protocol import errors
from tremula.protocol.errors import MatrixError


class CallFailed(Exception):
    """The holder of a slot failed for a reason of its own, which it has logged."""


class Outcome(IntEnum):
    """What became of a request."""

    ANSWERED = 0
    PENDING = 1
    """It is being done: ask again."""
    MOVED = 2
    """Whoever was asked does not hold the slot; nothing was done."""
    REFUSED = 3
    """With a ``MatrixError``."""
    RAISED = 4
    """With one of the kind's own errors."""
    UNAVAILABLE = 5
    """The database was not available; nothing was stored."""
    FAILED = 6
    """There is a bug."""


class Request(Struct, frozen=True, array_like=True):
    """A call: ``id`` is the same when it is repeated.

    ``command`` is piece number ``piece`` of ``pieces``; only the last is answered with
    what became of the call. Without any pieces it asks for just that.
    """

    id: str
    kind: str
    key: str
    command: bytes
    piece: int = 0
    pieces: int = 1


class Reply(Struct, frozen=True, array_like=True):
    """The answer as msgspec wrote it, or an error."""

    outcome: Outcome
    payload: bytes = b""


class _Error(Struct, array_like=True):
    name: str
    fields: dict[str, Any]


_encode: Final = msgspec.msgpack.Encoder().encode
_requests: Final = msgspec.msgpack.Decoder(Request)
_replies: Final = msgspec.msgpack.Decoder(Reply)
_errors: Final = msgspec.msgpack.Decoder(_Error)


class Wire:
    """Writes and reads the commands and answers of one kind."""

    __slots__ = ("_answers", "_commands", "_errors")

    def __init__(self, types: CallTypes) -> None:
        self._commands = msgspec.msgpack.Decoder(types.command)
        self._answers = msgspec.msgpack.Decoder(types.answer)
        self._errors = {each.__name__: each for each in types.errors}

    def pack_command(self, command: object) -> bytes:
        """What `unpack_command` reads."""
        return _encode(command)

    def unpack_command(self, raw: bytes) -> object:
        """A command.

        Raises:
            msgspec.MsgspecError: it is none.
        """
        return self._commands.decode(raw)

    def answered(self, answer: object) -> Reply:
        """The reply with *answer*."""
        return Reply(Outcome.ANSWERED, _encode(answer))

    def raised(self, error: Exception) -> Reply | None:
        """The reply with *error*; None if it is a bug."""
        if isinstance(error, MatrixError):
            told = _Error(type(error).__name__, vars(error))
            return Reply(Outcome.REFUSED, _encode(told))
        if type(error).__name__ in self._errors:
            told = _Error(type(error).__name__, {"message": str(error)})
            return Reply(Outcome.RAISED, _encode(told))
        if isinstance(error, DatabaseUnavailable):
            return Reply(Outcome.UNAVAILABLE, str(error).encode())
        return None

    def result(self, reply: Reply) -> Any:  # noqa: ANN401 - the kind fixes the type
        """The answer in *reply*, which must not say that there is none yet.

        Raises:
            CallFailed: the holder has a bug.
            DatabaseUnavailable: it could not store anything.
            MatrixError: it refused the command.
        """
        match reply.outcome:
            case Outcome.ANSWERED:
                return self._answers.decode(reply.payload)
            case Outcome.REFUSED:
                raise _matrix_error(_errors.decode(reply.payload))
            case Outcome.RAISED:
                told = _errors.decode(reply.payload)
                raise self._errors[told.name](told.fields["message"])
            case Outcome.UNAVAILABLE:
                raise DatabaseUnavailable(reply.payload.decode())
            case _:
                raise CallFailed("the holder of the slot failed")


def pack(message: Request | Reply) -> bytes:
    """The bytes that travel."""
    return _encode(message)


def unpack_request(raw: bytes) -> Request:
    """Read what `pack` wrote.

    Raises:
        msgspec.MsgspecError: it is none, or of another release.
    """
    return _requests.decode(raw)


def unpack_reply(raw: bytes) -> Reply:
    """Read what `pack` wrote.

    Raises:
        msgspec.MsgspecError: it is none, or of another release.
    """
    return _replies.decode(raw)


def _matrix_error(told: _Error) -> MatrixError:
    kind = getattr(errors, told.name, None)
    if not isinstance(kind, type) or not issubclass(kind, MatrixError):
        # Of a newer release: what the client is told is all there.
        kind = MatrixError
    error = kind.__new__(kind)
    Exception.__init__(error, told.fields["message"])
    vars(error).update(told.fields)
    return error
