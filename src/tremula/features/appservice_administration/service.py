"""What operators see and do of application services, by HTTP and by commands."""

from typing import Any

import orjson
from msgspec import Struct, to_builtins

from tremula.features.appservice_transactions.service import Backlog
from tremula.features.appservices.service import Appservice, Appservices
from tremula.features.bridge_reports.service import BridgeReports
from tremula.protocol.appservices import Registration


class AppserviceAdministration(Struct, frozen=True):
    """Lists, shows, adds, changes and removes application services."""

    appservices: Appservices
    backlog: Backlog
    reports: BridgeReports

    async def summaries(self) -> list[dict[str, Any]]:
        """All of them, without their tokens."""
        await self.appservices.catch_up()
        return [_summary(each) for each in self.appservices.all()]

    async def describe(self, appservice_id: str) -> dict[str, Any]:
        """One of them, with its tokens, what waits for it, and what it has reported.

        Raises:
            NotFound: there is none of this ID.
        """
        await self.appservices.catch_up()
        appservice = self.appservices.get(appservice_id)
        queued = await self.backlog.queued(appservice_id)
        states = await self.reports.states(appservice_id)
        return {
            **_summary(appservice),
            "registration": to_builtins(appservice.registration),
            "waiting_events": queued.events,
            "oldest_waiting_ts": queued.oldest_ts_ms,
            "transaction_under_way": queued.is_begun,
            "states": [orjson.loads(each.raw) for each in states],
        }

    async def put(self, registration: Registration) -> bool:
        """Add or change one; whether it is new.

        Raises:
            InvalidParam: another one has its token.
            Forbidden: it stands in a file.
        """
        await self.appservices.catch_up()
        is_new = self.appservices.find(registration.id) is None
        await self.appservices.replace(registration)
        return is_new

    async def remove(self, appservice_id: str) -> None:
        """Remove one; its users stay.

        Raises:
            NotFound: there is none of this ID.
            Forbidden: it stands in a file.
        """
        await self.appservices.catch_up()
        await self.appservices.remove(appservice_id)

    async def replay(self, appservice_id: str, *, since_ms: int) -> int:
        """Tell one again of what was sent since a time; how many events.

        Raises:
            NotFound: there is none of this ID.
        """
        await self.appservices.catch_up()
        return await self.backlog.replay(appservice_id, since_ms=since_ms)


def _summary(appservice: Appservice) -> dict[str, Any]:
    registration = appservice.registration
    return {
        "id": registration.id,
        "url": registration.url,
        "sender": appservice.sender,
        "owner": registration.owner,
        "from_file": appservice.from_file,
    }
