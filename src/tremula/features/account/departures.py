"""What closed accounts leave behind, whatever went wrong or came in between."""

import asyncio
from typing import Final

import structlog
from msgspec import Struct

from tremula.features.account.service import Accounts
from tremula.infra.slots import Slots
from tremula.protocol.errors import MatrixError
from tremula.protocol.identifiers import UserId

REQUESTS_END_MS: Final = 120_000
"""What a user had asked for before the account was closed is done, or not, by then."""

_LOOK_EVERY_S: Final = 30

log = structlog.get_logger(__name__)


class Departures(Struct, frozen=True):
    """Takes each user once more out of all that they were in, some time after their
    account was closed: what was under way then may have made them a room, or more.

    So it is finished, too, what the database's absence or a crash has broken off. Whose
    slot is held here is taken care of here.
    """

    accounts: Accounts
    slots: Slots

    async def run(self) -> None:
        """Look twice a minute, for ever; meant for the supervisor."""
        while True:
            await self.finish()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def finish(self) -> None:
        """Have all departed whose time has come."""
        users, clock = self.accounts.users, self.accounts.clock
        closed_before_ms = clock.now_ms() - REQUESTS_END_MS
        last = UserId("")
        while page := await users.departing(after=last, closed_by_ms=closed_before_ms):
            for user_id in page:
                if self.slots.holds(user_id):
                    await self._finish(user_id)
            last = page[-1]

    async def _finish(self, user_id: UserId) -> None:
        try:
            await self.accounts.depart(user_id)
        except MatrixError as error:
            # Others are not to wait for this one, who is looked at again.
            log.warning("departure_put_off", user_id=user_id, reason=error.message)
            return
        unit = self.accounts.journal.unit()
        self.accounts.users.set_departed(unit, user_id)
        await self.accounts.journal.commit(unit)
