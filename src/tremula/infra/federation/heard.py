"""Tells whoever sends to a server that this server has made a request."""

from typing import Final

from tremula.infra.clock import Clock
from tremula.infra.federation.queues import Queues
from tremula.infra.journal import Journal
from tremula.infra.slots import Slots
from tremula.protocol.identifiers import ServerName

TOPIC: Final = "heard_servers"
"""Announced with the server as key and no payload; nothing of it is stored."""

# How often the others are told of one server; a pause is hardly shortened by more.
_TELL_EVERY_S: Final = 60.0
_SERVERS_MAX: Final = 10_000


class HeardServers:
    """Passes on who is up: requests come to any process, one of them sends."""

    def __init__(
        self, journal: Journal, slots: Slots, clock: Clock, queues: Queues
    ) -> None:
        self._journal = journal
        self._slots = slots
        self._clock = clock
        self._queues = queues
        self._told_s: dict[ServerName, float] = {}
        journal.subscribe(TOPIC, self._heard_elsewhere)

    def heard_from(self, server_name: ServerName) -> None:
        """A server is up, since it has made a request."""
        if self._slots.holds(server_name):
            self._queues.heard_from(server_name)
            return
        now_s = self._clock.monotonic_s()
        if self._told_s.get(server_name, -_TELL_EVERY_S) + _TELL_EVERY_S > now_s:
            return
        if len(self._told_s) >= _SERVERS_MAX:
            self._told_s.clear()
        self._told_s[server_name] = now_s
        self._journal.ephemeral(TOPIC, server_name, None)

    def _heard_elsewhere(self, _pos: int, server_name: object, _: object) -> None:
        assert isinstance(server_name, str)
        self._queues.heard_from(ServerName(server_name))
