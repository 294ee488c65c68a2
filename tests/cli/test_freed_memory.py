"""What passes through in blocks is not taken from the system anew each time."""

import platform
import subprocess
import sys

import pytest

TEN_TIMES_A_MEGABYTE = """
from resource import RUSAGE_SELF, getrusage
from tremula.cli.serve import keep_freed_memory

keep_freed_memory()
for time in range(11):
    blocks = [bytearray(256_000) for _ in range(4)]
    del blocks
    if time == 0:
        before = getrusage(RUSAGE_SELF).ru_minflt
print(getrusage(RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others do as they do")
def test_freed_memory_is_used_again() -> None:
    process = subprocess.run(
        [sys.executable, "-c", TEN_TIMES_A_MEGABYTE],
        capture_output=True,
        check=True,
        text=True,
    )

    # Of 2,500 pages.
    assert int(process.stdout) < 100
