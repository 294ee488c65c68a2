"""What could not be had a moment ago is not asked for again by everybody at once."""

from collections import OrderedDict
from typing import Final

from tremula.infra.clock import Clock
from tremula.protocol.errors import MatrixError
from tremula.protocol.mxc import Mxc

_KEPT_S: Final = 30.0
_KEPT_MAX: Final = 10_000


class Failures:
    """The last failures, for half a minute each."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed: OrderedDict[Mxc, tuple[float, MatrixError]] = OrderedDict()

    def check(self, mxc: Mxc) -> None:
        """Raise what was noted of *mxc*, if it is not long ago."""
        noted = self._failed.get(mxc)
        if noted is None:
            return
        until_s, error = noted
        if until_s > self._clock.monotonic_s():
            raise type(error)(error.message, status=error.http_status)
        del self._failed[mxc]

    def note(self, mxc: Mxc, error: MatrixError) -> None:
        """Remember that *mxc* can't be had now."""
        self._failed[mxc] = (self._clock.monotonic_s() + _KEPT_S, error)
        if len(self._failed) > _KEPT_MAX:
            self._failed.popitem(last=False)
