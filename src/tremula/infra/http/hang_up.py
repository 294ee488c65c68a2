"""The connection beneath a request; cancelling the work for a client that has gone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from tremula.infra.http.errors import HungUpError
from tremula.infra.http.websocket import Conversation, WebSocket

T = TypeVar("T")


class Connection(Protocol):
    """Calls `on_hang_up` when the client closes it, or is lost.

    A second task that waits for that would cost 2 KB a long poll.
    """

    on_hang_up: Callable[[], None] | None

    def abort(self) -> None:
        """End it amid an answer, which the client sees to be incomplete."""
        ...

    def become_websocket(self, head: bytes, conversation: Conversation) -> WebSocket:
        """Answer the handshake with *head*, and be no HTTP connection any more."""
        ...


async def unless_hung_up(work: Awaitable[T], connection: Connection) -> T:
    """Await *work*, and cancel it when the client hangs up.

    Raises:
        HungUpError: the client has gone, and *work* has been cancelled.
    """
    worker = asyncio.current_task()
    assert worker is not None
    has_hung_up = False

    def cancel() -> None:
        nonlocal has_hung_up
        has_hung_up = True
        worker.cancel()

    connection.on_hang_up = cancel
    try:
        return await work
    except asyncio.CancelledError:
        if not has_hung_up:
            raise
        worker.uncancel()
        raise HungUpError from None
    finally:
        connection.on_hang_up = None
