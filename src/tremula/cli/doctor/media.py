"""Whether files can be kept."""

import secrets
import shutil
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tremula.cli.doctor.finding import Finding, note, ok, wrong
from tremula.infra.config import Config

if TYPE_CHECKING:
    from tremula.infra.blobs.spool import Spool
    from tremula.infra.blobs.store import BlobStore

_SUBJECT: Final = "media"
_GIB: Final = 1024**3


async def examine_media(config: Config, *, free_bytes_min: int = _GIB) -> Finding:
    """Write something to the store of files, read it, and delete it again."""
    from tremula.assembly.media import open_media
    from tremula.infra.blobs.store import BlobError

    folder = _folder(config)
    missing = next(
        (each for each in (config.data_dir, folder) if each and not each.is_dir()), None
    )
    if missing is not None:
        return note(_SUBJECT, f"{missing} is not there yet")
    place = str(folder or config.media.store)
    began_s = time.monotonic()
    try:
        async with open_media(config) as files:
            await _try(files.store, files.spool)
    except BlobError as error:
        return wrong(_SUBJECT, f"{place} can't be used ({error})", "correct [media]")
    if folder is None:
        took_ms = (time.monotonic() - began_s) * 1000
        return ok(
            _SUBJECT, f"{place} takes, gives and deletes files ({took_ms:.0f} ms)"
        )
    free_bytes = shutil.disk_usage(folder).free
    said = f"{place} takes files and has {free_bytes / _GIB:.1f} GiB left"
    if free_bytes < free_bytes_min:
        return wrong(_SUBJECT, said, "uploads will fail; make room")
    return ok(_SUBJECT, said)


def _folder(config: Config) -> Path | None:
    store = config.media.store
    return None if "://" in store else config.data_dir / Path(store)


async def _try(store: "BlobStore", spool: "Spool") -> None:
    from tremula.infra.blobs.store import BlobError

    written = secrets.token_bytes(32)

    async def content() -> AsyncGenerator[bytes]:
        yield written

    key = f"doctor-{secrets.token_hex(8)}"
    async with spool.receive(content()) as file:
        await store.put(key, file)
    try:
        read = b"".join(
            [bytes(piece) async for piece in store.read(key, 0, len(written))]
        )
    finally:
        await store.delete([key])
    if read != written:
        raise BlobError("it gives back other bytes than it took")
