"""Programs that run beside this one."""

import asyncio
import subprocess
from collections.abc import Mapping, Sequence


class Program:
    """One that was started: write to ``stdin``, read from ``stdout``, and `end` it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        stdin: asyncio.WriteTransport,
        stdout: asyncio.StreamReader,
        reading: asyncio.BaseTransport,
    ) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self._process = process
        self._reading = reading

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it has come to its end, or died."""
        return self._process.poll() is not None

    def wait(self) -> asyncio.Future[int]:
        """Its exit code, once it has come to its end; a thread waits for that."""
        return asyncio.get_running_loop().run_in_executor(None, self._process.wait)

    def let_go(self) -> asyncio.Future[int]:
        """Have it end with its standard input, as it should; its exit code."""
        self.stdin.close()
        self._reading.close()
        return self.wait()

    async def end(self) -> None:
        """Kill it, unless it has come to its end, and let go of it."""
        self._process.kill()
        await self.let_go()


async def start_program(
    command: Sequence[str], *, env: Mapping[str, str] | None = None
) -> Program:
    """Run *command*; what it says besides on ``stdout`` is lost.

    Nothing but its start is waited for, which takes a millisecond: a server of any size
    is not copied for it. uvloop's own way is a fork, and to write down which pages are
    whose stops a server of 100 MB for 10 ms, all that has grown for longer.

    Raises:
        OSError: it can't be run.
    """
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - see above; the operator's
        command,
        bufsize=0,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        return await _connected(process)
    except BaseException:
        process.kill()
        process.wait()
        raise


async def _connected(process: "subprocess.Popen[bytes]") -> Program:
    loop = asyncio.get_running_loop()
    stdout = asyncio.StreamReader()
    stdin, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, process.stdin)
    reading, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stdout), process.stdout
    )
    return Program(process, stdin, stdout, reading)
