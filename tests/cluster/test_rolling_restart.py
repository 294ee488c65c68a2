"""Each process is replaced in turn, and no client notices."""

import asyncio
import random

import pytest

from tests.cluster.balancer import Balancer
from tests.cluster.crowd import gather_crowd
from tests.cluster.members import Members

pytestmark = pytest.mark.cluster


async def test_a_rolling_restart_shows_nothing_to_clients(
    members: Members, balancer: Balancer, dice: random.Random
) -> None:
    crowd = await gather_crowd(members, balancer, dice)

    async with asyncio.TaskGroup() as group:
        with crowd.busy(group):
            for homeserver in list(members.homeservers):
                await members.remove(homeserver)
                await members.add()

    await crowd.check()
    assert not crowd.failures
    assert not members.complaints


async def test_a_long_poll_gets_an_empty_answer_from_a_process_that_stops(
    members: Members, balancer: Balancer, dice: random.Random
) -> None:
    crowd = await gather_crowd(members, balancer, dice)
    reader = crowd.readers[0].person
    query: dict[str, str | int] = {"timeout": 60_000}
    answers = [await reader.call("GET", "/sync") for _ in members.homeservers]

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        polls = [
            group.create_task(
                reader.call(
                    "GET", "/sync", query={**query, "since": answer["next_batch"]}
                )
            )
            for answer in answers
        ]
        # Each process has one of them, in turn.
        await asyncio.sleep(1)
        await members.stop()

    assert all("join" not in poll.result().get("rooms", {}) for poll in polls)
    assert not crowd.failures
