"""What the journals of a server's processes tell each other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct


class Announced(Struct, frozen=True, array_like=True, gc=False):
    """One announcement, its payload packed as its topic has it."""

    topic: str
    key: int | str
    pos: int
    size_bytes: int
    payload: Raw


class Woken(Struct, frozen=True, array_like=True, gc=False):
    """Who is woken at ``pos``: users, and those of our users who are in some rooms.

    None for the rooms: whoever waits.
    """

    pos: int
    user_ids: Sequence[str]
    room_nids: list[int] | None


class Message(Struct, frozen=True, array_like=True, tag="m"):
    """What a writer has announced since its last message.

    ``incarnation`` tells apart those who had the same writer's number one after the
    other; ``heard`` has the numbers of the newest messages of the others there.
    ``is_urgent`` asks for an answer.
    """

    writer: int
    incarnation: int
    number: int
    watermark: int
    heard: Mapping[int, int]
    announced: Sequence[Announced] = ()
    woken: Sequence[Woken] = ()
    is_urgent: bool = False


class Hello(Struct, frozen=True, array_like=True, tag="h"):
    """``writer`` is new, or has lost messages: ``to``, or all, shall welcome it."""

    writer: int
    incarnation: int
    to: int | None = None


class Welcome(Struct, frozen=True, array_like=True, tag="w"):
    """The answer to a hello: ``to`` is counted in.

    What ``writer`` announced up to its message ``number`` is committed, and has
    positions up to ``watermark``; everything else is in its later messages.
    """

    writer: int
    incarnation: int
    to: int
    number: int
    watermark: int


class Bye(Struct, frozen=True, array_like=True, tag="b"):
    """``writer`` has announced everything up to its message ``number``, and goes."""

    writer: int
    incarnation: int
    number: int


AnyMessage = Message | Hello | Welcome | Bye

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(AnyMessage)


class Topics:
    """How the payloads of each topic travel."""

    __slots__ = ("_decoders", "_shared")

    def __init__(self) -> None:
        self._decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {}
        self._shared: dict[str, Callable[[Any], object]] = {}

    def register(
        self,
        topic: str,
        payload_type: Any,  # noqa: ANN401 - a type form
        *,
        shared: Callable[[Any], object] | None = None,
    ) -> None:
        """Payloads of *topic* are of *payload_type*, which msgspec can pack.

        If the process that announces has something of its own in them, *shared* takes
        the rest out.
        """
        assert topic not in self._decoders, f"{topic} is registered already"
        self._decoders[topic] = msgspec.msgpack.Decoder(payload_type)
        if shared is not None:
            self._shared[topic] = shared

    def has(self, topic: str) -> bool:
        """Whether *topic* is known here."""
        return topic in self._decoders

    def pack(self, topic: str, payload: object) -> Raw:
        """*payload* for the way."""
        assert topic in self._decoders, f"{topic} does not travel"
        shared = self._shared.get(topic)
        return Raw(_ENCODER.encode(payload if shared is None else shared(payload)))

    def unpack(self, topic: str, payload: Raw) -> object:
        """*payload* as it was announced.

        Raises:
            msgspec.DecodeError: it is none; the other process is of another release.
        """
        return self._decoders[topic].decode(payload)


def pack(message: AnyMessage) -> bytes:
    """*message* as it travels."""
    return _ENCODER.encode(message)


def unpack(packed: bytes) -> AnyMessage:
    """What `pack` made.

    Raises:
        msgspec.DecodeError: it is of another release.
    """
    message: AnyMessage = _DECODER.decode(packed)
    return message
