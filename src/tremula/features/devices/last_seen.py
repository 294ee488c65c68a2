"""When and from where each device was used last, written in batches."""

import asyncio
from typing import Final

import structlog

from tremula.features.devices import storage
from tremula.features.sessions.service import Sighting
from tremula.infra.db import DatabaseUnavailable
from tremula.infra.journal import Journal
from tremula.protocol.errors import Unknown
from tremula.protocol.identifiers import DeviceId, UserId

log = structlog.get_logger(__name__)

_FLUSH_EVERY_S: Final = 60
_USER_AGENT_CHARS_MAX: Final = 500


class LastSeen:
    """Collects sightings of devices. Those of the last minute may be lost in a crash.

    Bounded by the tokens that are in use, as each reports once a minute.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._pending: dict[tuple[UserId, DeviceId], Sighting] = {}

    def record(self, sighting: Sighting) -> None:
        """Remember the newest sighting of a device until the next flush."""
        self._pending[sighting.user_id, sighting.device_id] = sighting

    async def run(self) -> None:
        """Flush once a minute, for the supervisor."""
        while True:
            await asyncio.sleep(_FLUSH_EVERY_S)
            await self.flush()

    async def close(self) -> None:
        """Write what was collected, if that can be stored: the server stops."""
        try:
            await self.flush()
        except (DatabaseUnavailable, Unknown) as error:
            log.warning("sightings_lost", reason=str(error))

    async def flush(self) -> None:
        """Write what was collected."""
        if not self._pending:
            return
        sightings = list(self._pending.values())
        self._pending.clear()
        unit = self._journal.unit()
        storage.update_last_seen(unit, [_shortened(each) for each in sightings])
        await self._journal.commit(unit)


def _shortened(sighting: Sighting) -> Sighting:
    return Sighting(
        user_id=sighting.user_id,
        device_id=sighting.device_id,
        ts_ms=sighting.ts_ms,
        ip=sighting.ip,
        user_agent=sighting.user_agent.replace("\0", "")[:_USER_AGENT_CHARS_MAX],
    )
