"""`tremula doctor`: what it says of a machine, and as a command."""

import signal
import socket
from pathlib import Path

import pytest

from tests.cli.test_serve import end, start, url_of
from tests.conftest import DatabaseSource
from tests.smtp_server import running_smtp
from tremula.cli.commands import run
from tremula.cli.doctor.machine import examine_data_dir, examine_database
from tremula.cli.doctor.mail import examine_mail
from tremula.cli.doctor.media import examine_media
from tremula.cli.failures import ExitCode
from tremula.infra.config import Config, Mail, MailSecurity, PostgresUrl, SqliteFile
from tremula.infra.db import Database, Statements, check_server_name
from tremula.infra.db.copy_marker import mark
from tremula.infra.db.copying.store import open_store
from tremula.protocol.identifiers import ServerName

OWN = "own.test"


async def test_a_database_is_looked_at_while_a_server_has_it(
    database: Database, database_source: DatabaseSource
) -> None:
    await check_server_name(database, OWN)

    said = str(await examine_database(database_source, OWN))
    assert said.startswith(
        ("ok     database        SQLite 3.", "ok     database        P")
    )

    said = str(await examine_database(database_source, "new.test"))
    assert said.startswith("WRONG ")
    assert "it belongs to the server own.test" in said


async def test_the_age_of_a_database_is_told(
    database: Database, database_source: DatabaseSource
) -> None:
    await check_server_name(database, OWN)
    unit = Statements()
    unit.run("DELETE FROM infra_migrations WHERE number = 1")
    await database.commit(unit)
    said = str(await examine_database(database_source, OWN))
    assert said.startswith("note ")
    assert "the next start brings it up to date" in said

    unit = Statements()
    unit.run("INSERT INTO infra_migrations (number, name) VALUES (9999, 'later')")
    await database.commit(unit)
    said = str(await examine_database(database_source, OWN))
    assert said.startswith("WRONG ")
    assert "a newer Tremula has changed it" in said


async def test_an_unfinished_copy_is_told(database_source: DatabaseSource) -> None:
    async with open_store(database_source) as store:
        await mark(store, OWN)

    said = str(await examine_database(database_source, OWN))

    assert said.startswith("WRONG ")
    assert "it is an unfinished copy" in said
    assert "run `tremula database copy` again" in said


async def test_an_empty_database_is_no_failure(database_source: DatabaseSource) -> None:
    said = str(await examine_database(database_source, OWN))

    assert said.startswith("note ")
    assert "empty; the first start fills it" in said


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://127.0.0.1:1/none", "PostgreSQL can't be reached"),
        ("postgresql://127.0.0.1:x/none", "PostgreSQL refuses"),
    ],
)
async def test_a_database_that_does_not_answer_is_told(url: str, expected: str) -> None:
    said = str(await examine_database(PostgresUrl(url), OWN))

    assert said.startswith("WRONG ")
    assert expected in said


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "tremula.db").write_bytes(b"no database" * 100)

    said = str(await examine_database(SqliteFile(tmp_path / "tremula.db"), OWN))
    assert said.startswith("WRONG ")
    assert "file is not a database" in said


def test_the_free_disk_is_told(tmp_path: Path) -> None:
    assert str(examine_data_dir(tmp_path / "none")).startswith("note ")
    assert str(examine_data_dir(tmp_path, free_bytes_min=0)).startswith("ok ")
    said = str(examine_data_dir(tmp_path, free_bytes_min=2**80))
    assert said.startswith("WRONG ")
    assert "GiB left: a server that can't write stops; make room" in said


async def test_it_is_told_whether_mail_goes_out() -> None:
    assert str(await examine_mail(Mail())).startswith("note   mail ")
    async with running_smtp() as smtp:
        settings = smtp.settings()
        assert str(await examine_mail(settings)).startswith("ok     mail ")
        assert not smtp.mails

        said = str(await examine_mail(smtp.settings(MailSecurity.STARTTLS)))
    assert said.startswith(f"WRONG  mail            127.0.0.1:{smtp.port} can't be")


async def test_it_is_told_whether_files_can_be_kept(tmp_path: Path) -> None:
    config = Config(server_name=ServerName(OWN), data_dir=tmp_path)
    assert str(await examine_media(config)).startswith("note   media ")
    store = tmp_path / "media"
    store.mkdir()

    said = str(await examine_media(config, free_bytes_min=0))
    assert said.startswith(f"ok     media           {store} takes files and has ")
    assert not [path for path in store.rglob("*") if path.is_file()]
    said = str(await examine_media(config, free_bytes_min=2**80))
    assert said.startswith("WRONG  media ")
    assert "GiB left: uploads will fail; make room" in said


async def test_a_store_that_takes_no_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "incoming").write_bytes(b"no folder")
    config = Config(server_name=ServerName(OWN), data_dir=tmp_path)

    said = str(await examine_media(config))

    assert said.startswith(f"WRONG  media           {tmp_path / 'media'} can't be used")
    assert said.endswith("correct [media]")


@pytest.fixture
def free_port() -> int:
    """A port for a server whose name it is part of."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def settings(
    free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """A server with a certificate of its own, which others reach on loopback."""
    monkeypatch.chdir(tmp_path)
    assert run(["cert", "authority"]) == ExitCode.OK
    assert run(["cert", "issue", "127.0.0.1"]) == ExitCode.OK
    listener = (
        f"{{ address = '127.0.0.1', port = {free_port}, trusted_proxies = ['::1'],"
        " tls = { certificate = 'tremula-cert.pem', key = 'tremula-key.pem' } }"
    )
    return {
        "TREMULA_SERVER_NAME": f"127.0.0.1:{free_port}",
        "TREMULA_LISTENERS": f"[{listener}]",
        "TREMULA_OUTBOUND__TRUSTED_CA_FILE": "tremula-ca.pem",
        "TREMULA_OUTBOUND__ALLOWED_PRIVATE_RANGES": "['127.0.0.1']",
    }


def test_a_running_server_is_well_and_a_stopped_one_is_not(
    settings: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Over sockets, with the server's own TLS; its database is in use meanwhile."""
    server = start(tmp_path, settings=settings)
    try:
        assert url_of(server) == f"https://{settings['TREMULA_SERVER_NAME']}".replace(
            "127.0.0.1", "localhost"
        )
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        code = run(["doctor"])
        told = capsys.readouterr().out
        assert code == ExitCode.OK, told
        for subject in ("database", "certificate", "signing key", "federation API"):
            assert f"ok     {subject}" in told
        assert "note   authorities     those of outbound.trusted_ca_file" in told
    finally:
        end(server, signal.SIGTERM)

    assert run(["doctor"]) == ExitCode.UNHEALTHY
    out, err = capsys.readouterr()
    assert "WRONG  address " in out
    assert err == "tremula: the doctor has found 1 thing to mend\n"


def test_a_server_for_this_machine_alone_is_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run(["doctor"]) == ExitCode.OK
    assert "only programs of this machine can reach" in capsys.readouterr().out
    assert not list(tmp_path.iterdir()), "the doctor leaves nothing behind"
