"""`tremula key` on the database of a stopped server."""

import re
from pathlib import Path

import pytest

from tremula.cli.commands import run
from tremula.cli.failures import ExitCode


def test_a_key_is_changed_with_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command starts the server, if only for itself."""
    monkeypatch.chdir(tmp_path)

    assert run(["key", "rotate"]) == ExitCode.OK
    assert run(["key", "rotate"]) == ExitCode.OK

    said = capsys.readouterr().out
    second, first, third, second_again = re.findall(r"ed25519:\w+", said)
    assert second == second_again
    assert len({first, second, third}) == 3
