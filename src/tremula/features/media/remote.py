"""Media of other servers: fetched when first wanted, and kept for a while."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
)
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import structlog
from msgspec import Struct

from tremula.features.media import storage
from tremula.features.media.blobs import Blobs
from tremula.features.media.failures import Failures
from tremula.features.media.scanning import Scanner
from tremula.features.media.storage import Media
from tremula.infra.clock import Clock
from tremula.infra.db import Database
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.errors import FederationDenied, PeerError, RemoteError
from tremula.infra.federation.transport import StreamedAnswer
from tremula.infra.journal_unit import JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.infra.outbound.endpoint import Limits
from tremula.infra.outbound.errors import (
    AnswerTooLarge,
    OutboundError,
    RequestFailed,
)
from tremula.infra.outbound.web import Web
from tremula.protocol.errors import (
    MatrixError,
    NotFound,
    NotYetUploaded,
    TooLarge,
    Unknown,
)
from tremula.protocol.media_headers import filename_in, parse_content_type
from tremula.protocol.multipart import MalformedMultipart, MultipartReader, PartBegins
from tremula.protocol.mxc import Mxc

log = structlog.get_logger(__name__)

_FETCH_S: Final = 600.0
_REDIRECTS_MAX: Final = 3
_METADATA_BYTES_MAX: Final = 65_536
_PATH: Final = "/_matrix/federation/v1/media/download/{}"
# "Servers MUST try the endpoints described below before falling back to the deprecated
# ones when they receive a 404 M_UNRECOGNIZED error."
_OLD_PATH: Final = "/_matrix/media/v3/download/{}/{}"
_FAILURES: Final = (RemoteError, OutboundError, MalformedMultipart)


class _Content(Struct, frozen=True):
    """What comes: its head, and its bytes."""

    content_type: str
    filename: str | None
    chunks: AsyncIterator[bytes]


class Sources(Struct, frozen=True):
    """Where the media of other servers come from, and from whom none are taken."""

    federation: FederationClient
    web: Web
    bytes_max: int
    blocked: frozenset[str]

    @asynccontextmanager
    async def content(self, mxc: Mxc, timeout_ms: int) -> AsyncIterator[_Content]:
        """What the other server answers.

        Raises:
            RemoteError, OutboundError, MalformedMultipart: it has no answer of use.
        """
        async with AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(
                    self._get(mxc, _PATH.format(quote(mxc.media_id)), timeout_ms)
                )
            except PeerError as error:
                if (error.status, error.errcode) != (404, "M_UNRECOGNIZED"):
                    raise
                yield await self._deprecated(mxc, timeout_ms, stack)
            else:
                yield await self._parted(answer, stack)

    def _get(
        self, mxc: Mxc, path: str, timeout_ms: int, **query: str
    ) -> AbstractAsyncContextManager[StreamedAnswer]:
        return self.federation.get_with_headers(
            mxc.server_name,
            path,
            {"timeout_ms": str(timeout_ms), **query},
            timeout_s=_FETCH_S,
            bytes_max=self.bytes_max + _METADATA_BYTES_MAX,
        )

    async def _deprecated(
        self, mxc: Mxc, timeout_ms: int, stack: AsyncExitStack
    ) -> _Content:
        path = _OLD_PATH.format(quote(mxc.server_name), quote(mxc.media_id))
        answer = await stack.enter_async_context(
            # "Servers MUST be sure to set allow_remote to false."
            self._get(mxc, path, timeout_ms, allow_remote="false")
        )
        return _content(answer.headers, answer.chunks)

    async def _parted(self, answer: StreamedAnswer, stack: AsyncExitStack) -> _Content:
        """The second part: the bytes, or where they are."""
        parts = await stack.enter_async_context(aclosing(_parts(answer.chunks)))
        begun = 0
        async for part in parts:
            if not isinstance(part, PartBegins):
                continue
            begun += 1
            if begun == 2:
                return await self._second(part, parts, stack)
        raise MalformedMultipart("it has no second part")

    async def _second(
        self,
        part: PartBegins,
        parts: AsyncGenerator[PartBegins | bytes],
        stack: AsyncExitStack,
    ) -> _Content:
        location = part.headers.get("location")
        if location is None:
            return _content(part.headers, _bytes_of(parts))
        limits = Limits(bytes_max=self.bytes_max, timeout_s=_FETCH_S)
        followed = await stack.enter_async_context(
            self.web.follow(location, limits, redirects_max=_REDIRECTS_MAX)
        )
        response = followed.response
        if response.status != HTTPStatus.OK:
            raise RequestFailed(f"status {response.status} behind a redirect")
        return _content(response.headers, response.chunks)


class RemoteMedia(Struct, frozen=True):
    """Implements `Elsewhere`. Who wants the same at once waits for one fetch."""

    db: Database
    clock: Clock
    blobs: Blobs
    sources: Sources
    scanner: Scanner
    is_public: bool
    locks: KeyedLocks[Mxc]
    failures: Failures

    async def fetch(self, mxc: Mxc, *, timeout_ms: int) -> None:
        """Bring a copy of *mxc* here, unless there is one.

        Raises:
            NotFound: there is none there, or this server takes none from there.
            NotYetUploaded, TooLarge: (504, 502) the other server says so, or it is.
            Unknown: (502) the other server can't be asked.
        """
        if mxc.server_name.lower() in self.sources.blocked:
            raise NotFound("there is no such media")
        async with self.locks.of(mxc):
            if await storage.find_media(self.db, mxc) is not None:
                return
            self.failures.check(mxc)
            try:
                await self._fetch(mxc, timeout_ms)
            except _FAILURES as error:
                told = _told(error)
                log.info("media_not_fetched", mxc=str(mxc), reason=str(error))
                self.failures.note(mxc, told)
                raise told from error

    async def _fetch(self, mxc: Mxc, timeout_ms: int) -> None:
        async with (
            self.sources.content(mxc, timeout_ms) as content,
            self.blobs.receive(content.chunks) as file,
        ):
            if file.size_bytes > self.sources.bytes_max:
                raise AnswerTooLarge(f"media of {file.size_bytes} bytes")
            await self.scanner.check(file.path)
            now_ms = self.clock.now_ms()
            media = Media(
                mxc=mxc,
                user_id=None,
                sha256=file.sha256,
                size_bytes=file.size_bytes,
                content_type=content.content_type,
                filename=content.filename,
                created_ts_ms=now_ms,
                accessed_ts_ms=now_ms,
                expires_ts_ms=None,
                is_public=self.is_public,
                is_protected=False,
            )

            def refer(unit: JournalUnit) -> None:
                storage.insert_media(unit, media)

            await self.blobs.keep(file, refer)


def _content(headers: Mapping[str, str], chunks: AsyncIterator[bytes]) -> _Content:
    return _Content(
        content_type=parse_content_type(headers.get("content-type")),
        filename=filename_in(headers.get("content-disposition")),
        chunks=chunks,
    )


async def _parts(chunks: AsyncIterator[bytes]) -> AsyncGenerator[PartBegins | bytes]:
    reader = MultipartReader()
    async for chunk in chunks:
        for part in reader.feed(chunk):
            yield part
    if not reader.is_complete:
        raise MalformedMultipart("it breaks off")


async def _bytes_of(
    parts: AsyncIterator[PartBegins | bytes],
) -> AsyncIterator[bytes]:
    async for part in parts:
        if isinstance(part, PartBegins):
            raise MalformedMultipart("it has a third part")
        yield part


def _told(error: Exception) -> MatrixError:
    """What a client is told of a failure."""
    if isinstance(error, PeerError):
        return _refusal(error)
    if isinstance(error, AnswerTooLarge) or isinstance(error.__cause__, AnswerTooLarge):
        return TooLarge("the media are too large", status=502)
    if isinstance(error, FederationDenied):
        return NotFound("there is no such media")
    return Unknown("the other server can't be asked", status=502)


def _refusal(error: PeerError) -> MatrixError:
    match error.errcode:
        case "M_NOT_YET_UPLOADED":
            return NotYetUploaded("nothing has been uploaded to this media ID yet")
        case "M_TOO_LARGE":
            return TooLarge("the media are too large", status=502)
        case _ if error.status == HTTPStatus.NOT_FOUND:
            return NotFound("there is no such media")
        case _:
            return Unknown("the other server does not give it", status=502)
