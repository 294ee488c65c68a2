"""`tremula report` on the database of a stopped server."""

import asyncio
from pathlib import Path

import pytest

from tremula.app import open_app
from tremula.cli.commands import run
from tremula.cli.failures import ExitCode
from tremula.features.reports.service import Subject
from tremula.infra.config import Config
from tremula.protocol.identifiers import RoomId, UserId


async def _report(data_dir: Path, room_id: str, reason: str) -> None:
    async with open_app(Config(data_dir=data_dir)) as server:
        await server.moderation.reports.report(
            UserId("@alice:localhost"), Subject(room_id=RoomId(room_id)), reason
        )


def test_reports_are_listed_shown_and_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    asyncio.run(_report(tmp_path / "data", "!bad:localhost", "bad\x1b[2J\nthings"))
    capsys.readouterr()

    assert run(["report", "list"]) == ExitCode.OK
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["report", "made", "by", "about", "reason"]
    assert "@alice:localhost  !bad:localhost  bad [2J things" in row
    report_id = row.split()[0]

    assert run(["report", "show", report_id]) == ExitCode.OK
    shown = capsys.readouterr().out.splitlines()
    assert "room_id: !bad:localhost" in shown
    assert "reason: bad [2J things" in shown

    assert run(["report", "resolve", report_id, "warned"]) == ExitCode.OK
    assert run(["report", "list"]) == ExitCode.OK
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert run(["report", "list", "--resolved"]) == ExitCode.OK
    assert report_id in capsys.readouterr().out
