"""Waiting for what a bridge is told beside events."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from tests.features.appservice_transactions.bridge import Bridge

DEADLINE_S: Final = 20


async def told(
    bridge: Bridge, key: str, matches: Callable[[Any], object] = bool
) -> Any:  # noqa: ANN401 - JSON of whatever it is
    """What the first transaction that comes now, and has what matches, says of *key*;
    the unstable key says the same.
    """
    async with asyncio.timeout(DEADLINE_S):
        while True:
            content = (await bridge.take()).content
            if key in content and matches(content[key]):
                unstable = [each for each in content if each.endswith(f".{key}")]
                assert [content[each] for each in unstable] == [content[key]]
                return content[key]
