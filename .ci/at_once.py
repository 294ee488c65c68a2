#!/usr/bin/env python3
"""Runs commands at the same time, and prints the output of each when it has ended.

What failed is said again at the end, in short: who reads a log that was cut sees it.

Fails if one of them does, or has not ended after the time limit. Whatever happens, no
process of theirs is left: also none that has made itself independent. Linux only.
"""

import argparse
import asyncio
import ctypes
import os
import shutil
import signal
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Final

# How pytest's summary begins its lines; of who says nothing like it, the end is shown.
_FAILURES: Final = (b"FAILED ", b"ERROR ")
_LINES_MAX: Final = 40
# For tests to stop their servers after an interrupt.
_GRACE_S: Final = 60
_PR_SET_CHILD_SUBREAPER: Final = 36


async def main(commands: list[str], limit_s: float) -> int:
    """Run *commands*, lines for the shell; return the exit code."""
    _adopt_orphans()
    whole = asyncio.gather(*(_run(command, limit_s) for command in commands))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, whole.cancel)
    try:
        failures = list(filter(None, await whole))
    except asyncio.CancelledError:
        sys.stderr.write("Interrupted.\n")
        return 1
    finally:
        _kill_orphans()
    sys.stdout.writelines(failures)
    return 1 if failures else 0


async def _run(command: str, limit_s: float) -> str | None:
    """Run one; what to say last if it has failed."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = await asyncio.create_subprocess_shell(
            command, stdin=DEVNULL, stdout=output, stderr=STDOUT, start_new_session=True
        )
        is_late = False
        try:
            async with asyncio.timeout(limit_s):
                await process.wait()
        except TimeoutError:
            is_late = True
        finally:
            await _end(process)
            took_s = time.monotonic() - began
            outcome = (
                f"STOPPED after {limit_s:g} s: it hangs, or is too slow"
                if is_late
                else f"ended with {process.returncode} after {took_s:.0f} s"
            )
            _show(f"{command}: {outcome}", output)
        if process.returncode == 0 and not is_late:
            return None
        return f"\n=== FAILED: {command}: {outcome}\n{_in_short(output)}"


def _show(title: str, output: IO[bytes]) -> None:
    """Print a title, and all of *output* below it."""
    sys.stdout.write(f"\n--- {title}\n")
    sys.stdout.flush()
    output.seek(0)
    shutil.copyfileobj(output, sys.stdout.buffer)
    sys.stdout.flush()


def _in_short(output: IO[bytes]) -> str:
    """The failures that *output* lists, or else its last lines."""
    output.seek(0)
    failures: list[bytes] = []
    last: deque[bytes] = deque(maxlen=_LINES_MAX)
    for line in output:
        last.append(line)
        if line.startswith(_FAILURES) and len(failures) < _LINES_MAX:
            failures.append(line)
    return b"".join(failures or last).decode(errors="replace")


async def _end(process: Process) -> None:
    """Interrupt it if it runs, as Ctrl-C does; then kill what is left of its group."""
    if process.returncode is None:
        with suppress(ProcessLookupError, TimeoutError):
            os.killpg(process.pid, signal.SIGINT)
            async with asyncio.timeout(_GRACE_S):
                await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _adopt_orphans() -> None:
    """Become the parent of every process below this one whose own parent has ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _kill_orphans() -> None:
    """Kill what the commands have left, and what that leaves in its turn."""
    while children := list(_children()):
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _children() -> Iterator[int]:
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal():
            continue
        with (
            suppress(FileNotFoundError, ProcessLookupError),
            open(f"{entry.path}/stat", encoding="utf-8", errors="replace") as stat,
        ):
            # After the name, which is in brackets and may hold anything: state, parent.
            parent = stat.read().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                yield int(entry.name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit-s", type=float, required=True)
    parser.add_argument("commands", nargs="+", metavar="COMMAND")
    arguments = parser.parse_args()
    sys.exit(asyncio.run(main(arguments.commands, arguments.limit_s)))
