"""Programs that are started, on the event loop that the server has."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine

import pytest
import uvloop

from tremula.infra.programs import Program, start_program

ECHO = (sys.executable, "-c", "print(input())")
SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")

Run = Callable[[Coroutine[None, None, None]], None]

forks: list[int] = []
# It is for good, so it counts for all.
os.register_at_fork(before=lambda: forks.append(os.getpid()))


@pytest.fixture(params=[asyncio.run, uvloop.run])
def run(request: pytest.FixtureRequest) -> Run:
    runner: Run = request.param
    return runner


def is_there(program: Program) -> bool:
    try:
        os.kill(program.pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_program_answers(run: Run) -> None:
    async def ask() -> None:
        program = await start_program(ECHO)
        program.stdin.write(b"how are you?\n")
        assert await program.stdout.read() == b"how are you?\n"
        assert await program.wait() == 0
        await program.end()

    run(ask())


def test_a_program_is_started_without_a_copy_of_this_process(run: Run) -> None:
    async def start() -> None:
        before = len(forks)
        program = await start_program(SLEEP)
        await program.end()
        assert len(forks) == before

    run(start())


def test_nothing_is_left_of_a_program_that_was_ended(run: Run) -> None:
    async def end() -> None:
        program = await start_program(SLEEP)
        assert is_there(program)
        await program.end()
        assert not is_there(program)

    run(end())


def test_nothing_is_left_of_a_program_that_ends_with_its_input(run: Run) -> None:
    async def let_go() -> None:
        program = await start_program(ECHO)
        # That there is no line is a failure.
        assert await program.let_go() == 1
        assert not is_there(program)

    run(let_go())


def test_a_program_that_is_not_there_cannot_be_run(run: Run) -> None:
    async def start() -> None:
        with pytest.raises(FileNotFoundError):
            await start_program(["/nowhere/scan"])

    run(start())
