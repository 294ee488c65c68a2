"""How long other requests wait while thumbnails are made for the first time.

``python -m bench.thumbnail_lag`` starts a server, asks it all the time for what costs
it nothing, and has thumbnails made of large photographs. It prints how long the answers
took, with and without that.
"""

import asyncio
import io
import random
import sys
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import aiohttp
from PIL import Image

from bench.client import check, connected
from bench.servers import Server, running, tremula

PHOTOGRAPHS: Final = 5
WIDTH: Final = 4000
HEIGHT: Final = 3000
_REST_S: Final = 3


def main() -> None:
    """Print the two lines."""
    with TemporaryDirectory() as folder:
        program = tremula("tremula", Path(folder), None)
        with running(program, None, starts=0) as server:
            asyncio.run(_measure(server))


async def _measure(server: Server) -> None:
    [url] = server.addresses.all
    async with connected(server.addresses) as homeserver:
        user = await homeserver.register()
    photographs = [_photograph(seed) for seed in range(PHOTOGRAPHS)]
    authorization = {"Authorization": f"Bearer {user.token}"}
    async with aiohttp.ClientSession(url, headers=authorization) as session:
        _print("nothing else", await _answers_s(session, asyncio.sleep(_REST_S)))
        paths = [await _upload(session, each) for each in photographs]
        making = _make_thumbnails(session, paths)
        _print(f"{PHOTOGRAPHS} first thumbnails", await _answers_s(session, making))


async def _answers_s(
    session: aiohttp.ClientSession, meanwhile: Awaitable[None]
) -> list[float]:
    """How long each answer takes until *meanwhile* is over."""
    took_s: list[float] = []

    async def ask() -> None:
        while True:
            began_s = time.perf_counter()
            async with session.get("/_matrix/client/v3/account/whoami") as response:
                await response.read()
                check(response.status == 200, f"whoami: {response.status}")
            took_s.append(time.perf_counter() - began_s)

    asking = asyncio.ensure_future(ask())
    await meanwhile
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    return took_s


async def _upload(session: aiohttp.ClientSession, body: bytes) -> str:
    headers = {"Content-Type": "image/jpeg"}
    path = "/_matrix/media/v3/upload"
    async with session.post(path, data=body, headers=headers) as response:
        answer = await response.json()
        check(response.status == 200, f"upload: {answer}")
        uri: str = answer["content_uri"]
        return uri.removeprefix("mxc://")


async def _make_thumbnails(
    session: aiohttp.ClientSession, paths: Sequence[str]
) -> None:
    for path in paths:
        thumbnail = f"/_matrix/client/v1/media/thumbnail/{path}"
        query = {"width": "640", "height": "480", "method": "scale"}
        async with session.get(thumbnail, params=query) as response:
            await response.read()
            check(response.status == 200, f"thumbnail: {response.status}")


def _photograph(seed: int) -> bytes:
    """Noise in colours, which takes as long to decode as any photograph."""
    noise = random.Random(seed).randbytes(WIDTH * HEIGHT // 16 * 3)
    small = Image.frombytes("RGB", (WIDTH // 4, HEIGHT // 4), noise)
    encoded = io.BytesIO()
    small.resize((WIDTH, HEIGHT)).save(encoded, "JPEG", quality=90)
    return encoded.getvalue()


def _print(title: str, took_s: Sequence[float]) -> None:
    ordered = sorted(took_s)
    p50, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    sys.stdout.write(
        f"{title}: {len(ordered)} answers, p50 {p50 * 1000:.1f} ms,"
        f" p99 {p99 * 1000:.1f} ms, most {ordered[-1] * 1000:.1f} ms\n"
    )


if __name__ == "__main__":
    main()
