"""`.ci/at_once.py`: commands beside each other, of which nothing is left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.test_tidy import ROOT

_SCRIPT = str(ROOT / ".ci/at_once.py")
_PATIENCE_S = 30


def _run(
    *commands: str, limit_s: float = _PATIENCE_S
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, _SCRIPT, "--limit-s", str(limit_s), *commands],
        check=False,
        capture_output=True,
        text=True,
    )


def _is_running(pid_file: Path) -> bool:
    return Path(f"/proc/{int(pid_file.read_text())}").exists()


def test_commands_run_at_once_and_each_output_is_in_one_piece(tmp_path: Path) -> None:
    """Each waits for the other, so that neither would end alone."""
    first, second = tmp_path / "first", tmp_path / "second"
    os.mkfifo(first)
    os.mkfifo(second)

    ran = _run(
        f"echo one; echo >{first}; read _ <{second}; echo two",
        f"echo three; read _ <{first}; echo >{second}; echo four",
    )

    assert ran.returncode == 0
    assert "one\ntwo\n" in ran.stdout
    assert "three\nfour\n" in ran.stdout


def test_if_one_fails_the_other_ends_and_the_whole_fails() -> None:
    ran = _run("echo bad; exit 3", "echo good")

    assert ran.returncode == 1
    assert "exit 3: ended with 3" in ran.stdout
    assert "good\n" in ran.stdout


def test_failures_are_said_again_at_the_end() -> None:
    """Without what was logged on the way."""
    ran = _run(
        "echo 'a log'; echo 'FAILED test_x.py::test_y - assert 1 == 2'; exit 1",
        "echo 'not a test'; exit 2",
        "sleep 0.2; echo 'FAILED to fail'",
    )

    end = ran.stdout.partition("\n=== FAILED: ")[2]
    assert end.count("=== FAILED: ") == 1
    assert "exit 1: ended with 1" in end
    assert "FAILED test_x.py::test_y - assert 1 == 2\n" in end
    assert "a log\n" not in end
    assert "exit 2: ended with 2" in end
    assert "not a test\n" in end
    assert "FAILED to fail" not in end


def test_what_hangs_is_stopped_and_said_to_hang(tmp_path: Path) -> None:
    """It is interrupted, and may say where it was."""
    ran = _run("trap 'echo I was here; exit' INT; sleep 1000", limit_s=0.2)

    assert ran.returncode == 1
    assert "STOPPED after 0.2 s: it hangs, or is too slow" in ran.stdout
    assert "I was here\n" in ran.stdout


def test_no_process_is_left_that_made_itself_independent(tmp_path: Path) -> None:
    pid_file, started = tmp_path / "pid", tmp_path / "started"
    os.mkfifo(started)
    daemon = f"echo $$ >{pid_file}; echo >{started}; exec sleep 1000"

    ran = _run(f"setsid sh -c '{daemon}' & read _ <{started}")

    assert ran.returncode == 0
    assert not _is_running(pid_file)


def test_whoever_ends_it_ends_the_commands(tmp_path: Path) -> None:
    pid_file, started = tmp_path / "pid", tmp_path / "started"
    os.mkfifo(started)
    command = f"echo $$ >{pid_file}; echo >{started}; exec sleep 1000"

    with subprocess.Popen(
        [sys.executable, _SCRIPT, "--limit-s", str(_PATIENCE_S), command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        started.read_text()
        process.send_signal(signal.SIGTERM)
        _, complaint = process.communicate(timeout=_PATIENCE_S)

    assert process.returncode == 1
    assert complaint == b"Interrupted.\n"
    assert not _is_running(pid_file)
