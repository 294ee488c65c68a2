"""Endpoints whose bodies come and go piece by piece."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from tremula.infra.http import Auth, Json, Request, Response, endpoint
from tremula.infra.http.response import StreamedBody

BYTES_MAX = 100_000
PIECE = b"x" * 65_536
PIECES = 400


@dataclass(slots=True)
class Streams:
    """How many pieces went out, and whether the rest is not to come."""

    sent: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    breaks_at: int | None = None


@endpoint("POST", "/count", auth=Auth.NONE, max_body=None)
async def post_count(req: Request, _streams: Streams) -> Json:
    """How long the body is, and in how many pieces it came."""
    sizes = [len(chunk) async for chunk in req.stream.chunks(BYTES_MAX)]
    return {"size": sum(sizes), "declared": req.stream.declared_bytes}


@endpoint("POST", "/digest", auth=Auth.NONE, max_body=None)
async def post_digest(req: Request, _streams: Streams) -> Json:
    """The SHA-256 of a long body."""
    digest = hashlib.sha256()
    async for chunk in req.stream.chunks(100 * BYTES_MAX):
        digest.update(chunk)
    return {"sha256": digest.hexdigest()}


@endpoint("GET", "/pieces", auth=Auth.NONE)
async def get_pieces(_req: Request, streams: Streams) -> Json:
    """More than any buffer holds."""

    async def pieces() -> AsyncGenerator[bytes]:
        try:
            for number in range(PIECES):
                if number == streams.breaks_at:
                    raise OSError("the disk is broken")
                streams.sent += 1
                yield PIECE
        finally:
            streams.ended.set()

    body = StreamedBody(len(PIECE) * PIECES, pieces)
    return Response(200, body, {"Content-Type": "application/octet-stream"})
