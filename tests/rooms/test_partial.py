"""Waiting for what is not known of a room."""

import asyncio

import pytest

from tremula.protocol.errors import Unknown
from tremula.rooms.partial import Completions


async def test_the_wait_has_an_end() -> None:
    with pytest.raises(Unknown) as raised:
        await Completions().wait(1, patience_s=0)

    assert raised.value.http_status == 504


async def test_all_who_wait_for_a_room_are_woken() -> None:
    completions = Completions()
    waiting = [asyncio.ensure_future(completions.wait(nid)) for nid in (1, 1, 2)]
    await asyncio.sleep(0)

    completions.done(1)

    await asyncio.gather(*waiting[:2])
    assert not waiting[2].done()
    completions.done(2)
    await waiting[2]


def test_nobody_need_wait() -> None:
    Completions().done(1)
