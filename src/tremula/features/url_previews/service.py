"""Previews: pages asked for, read, and remembered."""

from contextlib import suppress
from typing import Any, Final
from urllib.parse import urljoin

import orjson
import structlog
from msgspec import Struct

from tremula.features.media.service import Description, Kept, Uploads
from tremula.features.url_previews import storage
from tremula.features.url_previews.page import Page, read_page, tidied
from tremula.features.url_previews.rules import UrlRules, parse_url
from tremula.infra.clock import Clock
from tremula.infra.config import UrlPreviews as PreviewsConfig
from tremula.infra.db import Database, Statements
from tremula.infra.locks import KeyedLocks
from tremula.infra.outbound.endpoint import FollowedResponse, Limits
from tremula.infra.outbound.errors import OutboundError
from tremula.infra.outbound.web import Web
from tremula.protocol.errors import Forbidden, InvalidParam, MatrixError, Unknown
from tremula.protocol.media_headers import essence_of, filename_in, parse_content_type

log = structlog.get_logger(__name__)

Preview = dict[str, Any]

_REDIRECTS_MAX: Final = 5
_TIMEOUT_S: Final = 10.0
_OEMBED_BYTES_MAX: Final = 65_536
_PAGE_TYPES: Final = frozenset({"text/html", "application/xhtml+xml"})
_IMAGE_TYPES: Final = frozenset(
    {"image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"}
)
_CHARS_MAX: Final = 1000


class Outside(Struct, frozen=True):
    """The web, as far as the operator's lists permit it."""

    web: Web
    rules: UrlRules
    config: PreviewsConfig

    def follow(self, url: str, bytes_max: int) -> Any:  # noqa: ANN401 - as `Web.follow` returns
        """Ask for *url*, held to the lists with every redirect."""
        return self.web.follow(
            url,
            Limits(bytes_max=bytes_max, timeout_s=_TIMEOUT_S),
            redirects_max=_REDIRECTS_MAX,
            headers={
                "Accept-Language": self.config.language,
                # Some sites have nothing but scripts for those that they don't know.
                "User-Agent": "Tremula (bot; like facebookexternalhit/1.1)",
            },
            permits=self.rules.permits,
        )


class UrlPreviews(Struct, frozen=True):
    """Makes previews of pages; who asks for the same at once waits for one."""

    db: Database
    clock: Clock
    outside: Outside
    uploads: Uploads
    locks: KeyedLocks[str]

    async def of(self, raw_url: str) -> bytes:
        """The preview of a URL as JSON; ``{}`` if there is nothing to say of it.

        Raises:
            InvalidParam: it is no URL that a page can be at.
            Forbidden: the operator does not want it asked.
            Unknown: (502) it can't be had.
        """
        if not self.outside.config.enabled:
            return b"{}"
        url = parse_url(raw_url)
        if not self.outside.rules.permits(url):
            raise Forbidden("this URL may not be previewed here")
        async with self.locks.of(url):
            now_ms = self.clock.now_ms()
            kept = await storage.find_preview(self.db, url, now_ms=now_ms)
            if kept is not None:
                return kept
            try:
                preview = orjson.dumps(await self._make(url))
            except OutboundError as error:
                log.info("url_not_previewed", reason=str(error))
                raise Unknown("the page can't be had", status=502) from error
            await self._keep(url, preview)
        return preview

    async def _keep(self, url: str, preview: bytes) -> None:
        now_ms = self.clock.now_ms()
        unit = Statements()
        storage.delete_expired(unit, now_ms=now_ms)
        storage.upsert_preview(
            unit,
            url,
            preview,
            expires_ts_ms=now_ms + self.outside.config.kept_s * 1000,
        )
        await self.db.commit(unit)

    async def _make(self, url: str) -> Preview:
        bytes_max = self.outside.config.image_bytes_max
        async with self.outside.follow(url, bytes_max) as followed:
            response = followed.response
            content_type = response.headers.get("content-type", "")
            essence = essence_of(content_type)
            if response.status != 200:
                return {}
            if essence in _IMAGE_TYPES:
                return _image(await self._store(followed), essence)
            if essence not in _PAGE_TYPES:
                return {}
            page = await read_page(response.chunks, content_type)
        return await self._of_page(page, followed.url)

    async def _of_page(self, page: Page, base: str) -> Preview:
        oembed = await self._oembed(page, base)
        preview = _words(page, oembed)
        image_url = page.first(
            "og:image:secure_url",
            "og:image",
            "og:image:url",
            "twitter:image",
            "twitter:image:src",
        ) or _text(oembed, "thumbnail_url")
        if image_url:
            preview |= await self._image_at(base, image_url)
        return preview

    async def _image_at(self, base: str, reference: str) -> Preview:
        """A preview without its image is better than none."""
        with suppress(OutboundError, MatrixError):
            bytes_max = self.outside.config.image_bytes_max
            url = parse_url(_joined(base, reference))
            async with self.outside.follow(url, bytes_max) as followed:
                headers = followed.response.headers
                essence = essence_of(headers.get("content-type", ""))
                if followed.response.status == 200 and essence in _IMAGE_TYPES:
                    return _image(await self._store(followed), essence)
        return {}

    async def _store(self, followed: FollowedResponse) -> Kept:
        headers = followed.response.headers
        description = Description(
            parse_content_type(headers.get("content-type")),
            filename_in(headers.get("content-disposition")),
        )
        return await self.uploads.keep_for_a_while(
            description, followed.response.chunks
        )

    async def _oembed(self, page: Page, base: str) -> Preview:
        """What the page's own service says, if the page itself says too little."""
        if page.oembed_url is None or page.first("og:title", "twitter:title"):
            return {}
        with suppress(OutboundError, MatrixError, ValueError):
            url = parse_url(_joined(base, page.oembed_url))
            async with self.outside.follow(url, _OEMBED_BYTES_MAX) as followed:
                chunks = [chunk async for chunk in followed.response.chunks]
                found = orjson.loads(b"".join(chunks))
                return found if isinstance(found, dict) else {}
        return {}


def _words(page: Page, oembed: Preview) -> Preview:
    """What is said in words, by the first that says it."""
    found = {
        "og:title": page.first("og:title", "twitter:title")
        or _text(oembed, "title")
        or page.title,
        "og:description": page.first(
            "og:description", "twitter:description", "description"
        )
        or page.text,
        "og:site_name": page.first("og:site_name") or _text(oembed, "provider_name"),
        "og:type": page.first("og:type"),
        "og:url": page.first("og:url"),
    }
    return {
        name: tidied(value, _CHARS_MAX)
        for name, value in found.items()
        if value and value.strip()
    }


def _text(oembed: Preview, key: str) -> str | None:
    value = oembed.get(key)
    return value if isinstance(value, str) else None


def _joined(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference)
    except ValueError:
        raise InvalidParam("not a URL") from None


def _image(kept: Kept, content_type: str) -> Preview:
    return {
        "og:image": str(kept.mxc),
        "og:image:type": content_type,
        "matrix:image:size": kept.size_bytes,
    }
