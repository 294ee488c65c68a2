"""Keeps what bridges report: the newest state of each login, and where messages are."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter

from tremula.features.appservices.service import Appservice, Appservices
from tremula.features.bridge_reports import storage
from tremula.features.bridge_reports.storage import Reported
from tremula.infra.clock import Clock
from tremula.infra.db import Database, Reader, Statements
from tremula.infra.supervisor import Supervisor
from tremula.protocol.bridge_reports import parse_checkpoints, parse_state

__all__ = ["BridgeReports", "ReportMetrics", "ReportTaker", "Reported"]

_STATES_MAX: Final = 1_000
_CHECKPOINTS_MAX: Final = 2_000


class ReportMetrics(Struct, frozen=True):
    """Counters of what all bridges report together."""

    states: Counter
    checkpoints: Counter

    @classmethod
    def registered(cls, registry: CollectorRegistry) -> "ReportMetrics":
        """New counters in *registry*."""
        return cls(
            states=Counter(
                "tremula_bridge_states_total",
                "States that bridges have reported",
                ("state_event",),
                registry=registry,
            ),
            checkpoints=Counter(
                "tremula_bridge_checkpoints_total",
                "What bridges have reported of messages",
                ("status",),
                registry=registry,
            ),
        )


class BridgeReports(Struct, frozen=True):
    """Shows what bridges have reported."""

    db: Reader

    async def states(self, appservice_id: str) -> Sequence[Reported]:
        """The states of a bridge's logins, the newest first."""
        return await storage.states(self.db, appservice_id)

    async def checkpoints(
        self, appservice_id: str, *, limit: int
    ) -> Sequence[Reported]:
        """The newest checkpoints of a bridge."""
        return await storage.checkpoints(self.db, appservice_id, limit=limit)


class ReportTaker(Struct, frozen=True):
    """Takes reports; those of a bridge that has gone are deleted with it."""

    database: Database
    clock: Clock
    appservices: Appservices
    supervisor: Supervisor
    metrics: ReportMetrics

    async def record_state(self, appservice: Appservice, raw: object) -> None:
        """Keep the state of a login, or of the whole bridge.

        Raises:
            BadJson, TooLarge: it is none, or too long.
        """
        state = parse_state(raw)
        unit = Statements()
        ts_ms = self.clock.now_ms()
        storage.upsert_state(unit, appservice.id, state, ts_ms=ts_ms)
        storage.delete_oldest_states(unit, appservice.id, kept_max=_STATES_MAX)
        await self.database.commit(unit)
        self.metrics.states.labels(state.state_event.value).inc()

    async def record_checkpoints(self, appservice: Appservice, raw: object) -> None:
        """Keep how far messages have come.

        Raises:
            BadJson, TooLarge: it is something else, or too long.
        """
        checkpoints = parse_checkpoints(raw)
        newest = {(each.event_id, each.step): each for each in checkpoints}
        unit = Statements()
        ts_ms = self.clock.now_ms()
        storage.upsert_checkpoints(unit, appservice.id, newest.values(), ts_ms=ts_ms)
        storage.delete_oldest_checkpoints(
            unit, appservice.id, kept_max=_CHECKPOINTS_MAX
        )
        await self.database.commit(unit)
        for checkpoint in checkpoints:
            self.metrics.checkpoints.labels(checkpoint.status.value).inc()

    def changed(self, appservice_id: str) -> None:
        """Forget what an application service has reported that has gone."""
        if self.appservices.find(appservice_id) is None:
            work = partial(self._forget, appservice_id)
            self.supervisor.run_once("bridge_reports_deletion", work)

    async def _forget(self, appservice_id: str) -> None:
        unit = Statements()
        storage.delete_all(unit, appservice_id)
        await self.database.commit(unit)
