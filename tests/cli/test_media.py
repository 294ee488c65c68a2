"""`tremula media` on the files of a stopped server."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from tremula.app import Tremula as App
from tremula.app import open_app
from tremula.cli.commands import run
from tremula.cli.failures import ExitCode
from tremula.features.media.service import Description
from tremula.infra.config import Config, SqliteFile
from tremula.protocol.identifiers import ServerName, UserId

Tremula = Callable[..., tuple[ExitCode, str, str]]

ALICE = UserId("@alice:localhost")


@pytest.fixture
def tremula(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Tremula:
    """Run a command in an empty directory; answers its code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[ExitCode, str, str]:
        code = run(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return command


@pytest.fixture
def uris(tremula: Tremula) -> list[str]:
    """Two files that alice has uploaded."""
    return asyncio.run(_upload())


async def _upload() -> list[str]:
    config = Config(
        server_name=ServerName("localhost"),
        data_dir=Path("data"),
        database=SqliteFile(Path("tremula.db")),
    )
    config.data_dir.mkdir()
    async with open_app(config) as app:
        await app.accounts.create_user("alice", "wonderland", is_admin=False)
        return [str(await _kept(app, name)) for name in (b"one", b"two")]


async def _kept(app: App, body: bytes) -> object:
    async def chunks() -> AsyncGenerator[bytes]:
        yield body

    return await app.media.uploads.upload(
        ALICE, Description("text/plain", None), chunks(), declared_bytes=len(body)
    )


def stored() -> list[Path]:
    """The files in the store, but those that are made beforehand."""
    return [
        path
        for path in Path("data/media").rglob("*")
        if path.is_file()
        and path.stat().st_size > 0
        and not path.name.startswith("mark-")
    ]


def listed(tremula: Tremula) -> str:
    code, out, _ = tremula("media", "list", "alice")
    assert code == ExitCode.OK
    return out


def test_files_are_listed_and_deleted(tremula: Tremula, uris: list[str]) -> None:
    assert all(uri in listed(tremula) for uri in uris)

    assert tremula("media", "delete", uris[0])[0] == ExitCode.OK
    assert uris[0] not in listed(tremula)
    assert len(stored()) == 1
    assert tremula("media", "delete-all", "alice")[1].startswith("1 files")
    assert not stored()


def test_a_file_is_quarantined_and_released(tremula: Tremula, uris: list[str]) -> None:
    assert tremula("media", "quarantine", uris[0])[0] == ExitCode.OK
    assert re.search(f"{uris[0]}.*in quarantine", listed(tremula))
    assert tremula("media", "release", uris[0])[0] == ExitCode.OK
    assert "in quarantine" not in listed(tremula)


def test_a_protected_file_stays(tremula: Tremula, uris: list[str]) -> None:
    assert tremula("media", "protect", uris[0])[0] == ExitCode.OK

    refused = tremula("media", "quarantine", uris[0])
    purged = tremula("media", "purge", "--unused-days", "0", "--uploads")

    assert (refused[0], "is protected" in refused[2]) == (ExitCode.REFUSED, True)
    assert purged[1] == "1 files are deleted.\n"
    assert uris[0] in listed(tremula)
    assert tremula("media", "protect", uris[0], "--off")[0] == ExitCode.OK


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("delete", "mxc://localhost/none"), ExitCode.REFUSED),
        (("delete", "no uri"), ExitCode.REFUSED),
        (("list", "nobody"), ExitCode.REFUSED),
        (("purge", "--unused-days", "-1"), ExitCode.CONFIG),
    ],
)
def test_what_cannot_be_done_is_said(
    tremula: Tremula, uris: list[str], arguments: tuple[str, ...], code: ExitCode
) -> None:
    assert tremula("media", *arguments)[0] == code
