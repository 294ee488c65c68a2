"""What users who are erased have uploaded goes with them, where that is configured."""

from typing import Final

from msgspec import Struct

from tremula.features.media import storage
from tremula.infra.clock import Clock
from tremula.infra.db import Database, Statements
from tremula.protocol.identifiers import UserId

_PAGE: Final = 500


class MediaErasure(Struct, frozen=True):
    """For those who close accounts."""

    db: Database
    clock: Clock

    async def erase(self, user_id: UserId) -> None:
        """Delete the uploads of *user_id*, except for protected ones.

        Their bytes go when files are tidied next.
        """
        after = ""
        while page := await storage.media_of_user(
            self.db, user_id, after=after, limit=_PAGE
        ):
            after = page[-1].mxc.media_id
            mxcs = [media.mxc for media in page if not media.is_protected]
            unit = Statements()
            storage.delete_media(unit, mxcs, now_ms=self.clock.now_ms())
            await self.db.commit(unit)
