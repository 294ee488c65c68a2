"""Blobs in an object store: S3 and what speaks like it, GCS, Azure.

Loaded only where one is configured. obstore is Rust's object_store: it retries, renews
credentials and uploads in parts, in threads of its own.
"""

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from tremula.infra.blobs.spool import Disk, Spool
from tremula.infra.blobs.store import (
    CHUNK_BYTES,
    KEY,
    BlobError,
    BlobMissing,
    Place,
    SpooledFile,
)

_PART_BYTES: Final = 8 * 1024 * 1024
_PARTS_AT_ONCE: Final = 2


def open_objects(
    url: str, options: Mapping[str, str], spool: Spool, disk: Disk
) -> "ObjectBlobs":
    """The store at *url*, such as ``s3://bucket/prefix``.

    *options* are those of object_store: ``access_key_id``, ``endpoint``, ``region`` …
    What is left out comes from the environment, as the cloud's own tools have it.

    Raises:
        BlobError: there is no such store.
    """
    # Which options there are depends on the store, as the types have it; we pass on.
    config: Any = dict(options)
    allows_http = options.get("endpoint", "").startswith("http://")
    try:
        store = from_url(url, config=config, client_options={"allow_http": allows_http})
    except (BaseError, ValueError) as error:
        raise BlobError(f"{url}: {error}") from error
    return ObjectBlobs(store, spool, disk)


class ObjectBlobs:
    """Implements `BlobStore`.

    A crash amid an upload in parts leaves parts that cost money but are never served:
    let the bucket abort incomplete uploads after a day.
    """

    def __init__(self, store: Any, spool: Spool, disk: Disk) -> None:  # noqa: ANN401 - a union of obstore's stores
        self._store = store
        self._spool = spool
        self._disk = disk

    def place(self, key: str) -> Place:
        """Where no file can be moved to."""
        return Place(key, None)

    async def prepare(self, keys: Sequence[str]) -> None:
        """There is nothing to be done."""

    async def put(self, key: str, file: SpooledFile) -> None:
        """Upload *file*, in parts if it is large."""
        with _translated(key):
            await obstore.put_async(
                self._store,
                _checked(key),
                Path(file.path),
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )

    async def read(self, key: str, start: int, length: int) -> AsyncGenerator[bytes]:
        """Read in pieces, with one request."""
        if not length:
            return
        with _translated(key):
            found = await obstore.get_async(
                self._store,
                _checked(key),
                options={"range": (start, start + length)},
            )
            if found.range != (start, start + length):
                raise BlobMissing(f"{key} is shorter than it should be")
            async for piece in found.stream(min_chunk_size=CHUNK_BYTES):
                data = memoryview(piece)
                for begin in range(0, len(data), CHUNK_BYTES):
                    yield bytes(data[begin : begin + CHUNK_BYTES])

    @asynccontextmanager
    async def as_file(self, key: str) -> AsyncIterator[Path]:
        """A copy that is downloaded, and gone afterwards."""
        with _translated(key):
            found = await obstore.get_async(self._store, _checked(key))
            size = found.meta["size"]
        async with self._spool.receive(self.read(key, 0, size)) as spooled:
            yield Path(spooled.path)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete these objects, as far as they are there."""
        for key in keys:
            try:
                with _translated(key):
                    await obstore.delete_async(self._store, _checked(key))
            except BlobMissing:
                continue

    async def close(self) -> None:
        """obstore ends its connections when it is collected."""


def _checked(key: str) -> str:
    assert KEY.fullmatch(key), f"not a key: {key!r}"
    return f"{key[:2]}/{key}"


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise BlobMissing(f"there is no {key}") from error
    except (BaseError, OSError) as error:
        raise BlobError(f"{key}: {' '.join(str(error).split())[:300]}") from error
