"""One system call an answer: its head is written together with what follows.

uvicorn writes head and body one after the other, and uvloop sends each at once. The
second call, and waking the reader twice, is a tenth of what a short answer costs.
"""

import asyncio
from typing import Any, Final

_HEAD: Final = b"HTTP/1.1 "
# The head of no answer: that one comes later, and after a wait.
_CONTINUE: Final = b"HTTP/1.1 100 "


class JoinedWrites:
    """A transport that keeps the head of an answer back until its body is written."""

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        """Write *data*, or keep it if it is a head."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_HEAD) and not data.startswith(_CONTINUE):
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Write a head that no body follows."""
        if self._head:
            self.write(b"")

    def release(self) -> asyncio.Transport:
        """The transport itself, with all written."""
        self.flush()
        return self._transport

    def close(self) -> None:
        """Write what there is, and close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever it has
        return getattr(self._transport, name)
