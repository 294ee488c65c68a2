"""Objects of JSON, one a line: commands come by stdin, what is seen goes to stdout."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any


async def commands() -> AsyncIterator[Any]:
    """What the test tells the program to do."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async for line in reader:
        yield json.loads(line)


def say(**seen: object) -> None:
    """Tell the test what was seen."""
    sys.stdout.write(json.dumps(seen) + "\n")
    sys.stdout.flush()
