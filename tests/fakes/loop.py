"""An event loop whose time is not the world's: it jumps to whatever is due next."""

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any

_FileObject = Any


class _NoWaiting(selectors.BaseSelector):
    """Never waits: where it should, the loop's time moves on instead."""

    def __init__(self) -> None:
        self._inner = selectors.DefaultSelector()
        self.now_s = 0.0

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._inner.select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits, and nothing will happen")
        if not ready and timeout is not None:
            self.now_s += timeout
        return ready

    def register(
        self, fileobj: _FileObject, events: int, data: object = None
    ) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: _FileObject) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def close(self) -> None:
        self._inner.close()

    def get_map(self) -> Mapping[_FileObject, selectors.SelectorKey]:
        return self._inner.get_map()


class JumpingLoop(asyncio.SelectorEventLoop):
    """For tests of what waits for seconds: deterministic, and over at once."""

    def __init__(self) -> None:
        self._jumping = _NoWaiting()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run_jumping(work: Coroutine[Any, Any, None]) -> None:
    """Run *work* on such a loop to its end."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(work)
