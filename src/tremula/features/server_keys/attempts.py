"""When a server may be asked for its keys again."""

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from tremula.infra.clock import Clock
from tremula.protocol.identifiers import ServerName

# Between two answers: an unknown key ID in every event must not become a request each.
_AFTER_ANSWER_S: Final = 60.0
_FIRST_PAUSE_S: Final = 5.0
# Short enough that nobody waits long for a server that is back.
_LONGEST_PAUSE_S: Final = 600.0
_SERVERS_MAX: Final = 10_000


class _Pause(Struct, frozen=True):
    ends_s: float
    length_s: float


class Attempts:
    """Remembers who did not answer, the latest ones only, and for how long to wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pauses: OrderedDict[ServerName, _Pause] = OrderedDict()

    def may_ask(self, server_name: ServerName) -> bool:
        """Whether *server_name* may be asked now."""
        pause = self._pauses.get(server_name)
        return pause is None or self._clock.monotonic_s() >= pause.ends_s

    def answered(self, server_name: ServerName) -> None:
        """Take note of an answer."""
        self._wait(server_name, _AFTER_ANSWER_S, length_s=0)

    def failed(self, server_name: ServerName) -> None:
        """Take note of a failure: each doubles the pause."""
        last = self._pauses.get(server_name)
        length_s = min(
            max(last.length_s * 2 if last else 0, _FIRST_PAUSE_S), _LONGEST_PAUSE_S
        )
        self._wait(server_name, length_s, length_s=length_s)

    def forget(self, server_name: ServerName) -> None:
        """Take note that *server_name* may be asked at any time."""
        self._pauses.pop(server_name, None)

    def _wait(
        self, server_name: ServerName, pause_s: float, *, length_s: float
    ) -> None:
        self._pauses[server_name] = _Pause(
            self._clock.monotonic_s() + pause_s, length_s
        )
        self._pauses.move_to_end(server_name)
        if len(self._pauses) > _SERVERS_MAX:
            self._pauses.popitem(last=False)
