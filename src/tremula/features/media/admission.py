"""Which files are taken in."""

from msgspec import Struct

from tremula.features.media.blobs import Blobs
from tremula.features.media.limits import UploadLimits
from tremula.features.media.scanning import Scanner
from tremula.infra.blobs.store import SpooledFile
from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import UserId


class Admission(Struct, frozen=True):
    """Looks at complete files before anything refers to them."""

    limits: UploadLimits
    blobs: Blobs
    scanner: Scanner

    async def check_upload(self, user_id: UserId, file: SpooledFile) -> None:
        """Whether *user_id* may upload this.

        Raises:
            TooLarge, Forbidden: see `UploadLimits.check`, and `check`.
        """
        await self.limits.check(user_id, file.size_bytes)
        await self.check(file)

    async def check(self, file: SpooledFile) -> None:
        """Whether this may be here at all.

        Raises:
            Forbidden: see `Scanner.check`, or it is in quarantine.
        """
        if await self.blobs.is_quarantined(file.sha256):
            raise Forbidden("this file is not served here")
        await self.scanner.check(file.path)
