"""`tremula room` on the database of a stopped server."""

import asyncio
from pathlib import Path

import pytest

from tests.features.rooms import create_room
from tests.server import running_server
from tremula.cli.commands import run
from tremula.cli.failures import ExitCode
from tremula.infra.config import (
    Config,
    RateLimits,
    Registration,
    RegistrationMode,
    SqliteFile,
)


async def _room(data_dir: Path) -> str:
    config = Config(
        data_dir=data_dir,
        database=SqliteFile(data_dir / "tremula.db"),
        registration=Registration(mode=RegistrationMode.OPEN),
        rate_limits=RateLimits(enabled=False),
    )
    async with running_server(config) as server:
        return await create_room(server.client("@alice:localhost"), name="Old \x1b[2J")


def test_a_room_is_listed_shown_blocked_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    room_id = asyncio.run(_room(tmp_path / "data"))
    capsys.readouterr()

    def tremula(*arguments: str) -> list[str]:
        assert run(["room", *arguments]) == ExitCode.OK
        return capsys.readouterr().out.splitlines()

    header, row = tremula("list")
    assert header.split() == ["room", "version", "members", "here"]
    assert row.split() == [room_id, "12", "1"]
    assert "name: Old  [2J" in tremula("show", room_id)
    assert tremula("block", room_id) == [f"{room_id} is blocked."]
    assert tremula("unblock", room_id) == [f"{room_id} is not blocked."]

    [*_, told] = tremula("delete", room_id, "--block")
    assert told == f"Nothing is left of {room_id}."
    assert "blocked: True" in tremula("show", room_id)
    assert len(tremula("list")) == 1


def test_what_is_no_room_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    for arguments in (["delete", "!nowhere:localhost"], ["block", "nonsense"]):
        assert run(["room", *arguments]) == ExitCode.REFUSED
        assert capsys.readouterr().err.startswith("tremula: ")
