"""What tests with two processes stand upon."""

import asyncio
from functools import partial

from tests.fakes.processes import Process
from tremula.features.sessions.service import TOPIC

_ROUNDS = 50


async def test_both_are_told_of_what_either_commits(
    processes: tuple[Process, Process],
) -> None:
    told: list[list[object]] = [[], []]
    for process, keys in zip(processes, told, strict=True):
        process.journal.subscribe(TOPIC, partial(_note, keys))

    async def announce(process: Process, key: str) -> None:
        unit = process.journal.unit()
        unit.announce(TOPIC, key, None, pos=unit.pos())
        await process.journal.commit(unit)

    # Nobody beats here: whoever waited for that would wait for ever.
    for _ in range(_ROUNDS):
        await asyncio.gather(
            *(
                announce(each, f"{n} {key}")
                for n, each in enumerate(processes)
                for key in range(5)
            )
        )
    for process in processes:
        await process.journal.settled()

    assert len(told[0]) == 10 * _ROUNDS
    assert told[0] == told[1]


def _note(keys: list[object], _pos: int, key: object, _payload: object) -> None:
    keys.append(key)
