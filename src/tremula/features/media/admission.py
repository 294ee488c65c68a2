"""Which files are taken in."""

from msgspec import Struct

from tremula.features.media.blobs import Blobs
from tremula.features.media.blobs_storage import Standing
from tremula.features.media.limits import UploadLimits
from tremula.features.media.scanning import Scanner
from tremula.infra.blobs.store import SpooledFile
from tremula.protocol.errors import Forbidden


class Admission(Struct, frozen=True):
    """Looks at complete files before anything refers to them."""

    limits: UploadLimits
    blobs: Blobs
    scanner: Scanner

    async def check(self, file: SpooledFile) -> Standing:
        """Whether this may be here at all; its standing is returned.

        Raises:
            Forbidden: see `Scanner.check`, or it is in quarantine.
        """
        standing = await self.blobs.standing_of(file.sha256)
        if standing.is_quarantined:
            raise Forbidden("this file is not served here")
        await self.scanner.check(file.path)
        return standing
