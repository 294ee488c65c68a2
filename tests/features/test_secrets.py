"""What must be known to its owner alone: passwords, tokens, sessions of UIA."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http_client import Client
from tests.logs import log_plainly
from tests.server import PASSWORD, SERVER_NAME, config_for, running_server
from tremula.infra.config import LogFormat, LogLevel, SqliteFile
from tremula.infra.logging import configure_logging

NEW_PASSWORD = "battery staple"
WRONG_PASSWORD = "hunter2 hunter2"
ALICE = f"@alice:{SERVER_NAME}"


@pytest.fixture(params=LogFormat)
def debug_log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Everything that is logged at all."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(LogLevel.DEBUG, request.param, stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    log_plainly()


async def test_cve_2023_41335_no_secret_is_logged_or_stored(
    tmp_path: Path, debug_log: io.StringIO
) -> None:
    """On SQLite, whose files can be read as bytes; PostgreSQL stores the same."""
    database = SqliteFile(tmp_path / "tremula.db")
    async with running_server(config_for(database, tmp_path)) as server:
        secrets = await live(server.anonymous)

    stored = stored_in(tmp_path)
    assert ALICE.encode() in stored
    assert "http_request" in debug_log.getvalue()
    for secret in secrets:
        assert secret not in debug_log.getvalue()
        assert secret.encode() not in stored


def stored_in(folder: Path) -> bytes:
    """The bytes of the database's files."""
    return b"".join(path.read_bytes() for path in folder.glob("tremula.db*"))


async def live(anonymous: Client) -> list[str]:
    """Do all that involves a secret, well and badly; the secrets."""
    registered = await anonymous.post(
        "/v3/register",
        {
            "username": "alice",
            "password": PASSWORD,
            "refresh_token": True,
            "auth": {"type": "m.login.dummy"},
        },
    )
    refresh = {"refresh_token": registered.json["refresh_token"]}
    refreshed = await anonymous.post("/v3/refresh", refresh)
    alice = Client(anonymous.app, refreshed.json["access_token"])
    for password in (WRONG_PASSWORD, [WRONG_PASSWORD], PASSWORD):
        await anonymous.post("/v3/login", login(password))
    await anonymous.get(f"/v3/account/whoami?access_token={alice.token}")
    await anonymous.get("/v3/account/whoami?access_token=unknown-token")
    change = {"new_password": NEW_PASSWORD}
    challenge = await alice.post("/v3/account/password", change)
    session = challenge.json["session"]
    for password in (WRONG_PASSWORD, PASSWORD):
        auth = {**login(password), "session": session}
        changed = await alice.post("/v3/account/password", {**change, "auth": auth})
    assert changed.status == 200
    await alice.post("/v3/logout")
    return [
        *(PASSWORD, NEW_PASSWORD, WRONG_PASSWORD, session, "unknown-token"),
        *(registered.json["access_token"], registered.json["refresh_token"]),
        *(refreshed.json["access_token"], refreshed.json["refresh_token"]),
    ]


def login(password: object) -> dict[str, object]:
    """A login of Alice, which is a stage of UIA as well."""
    identifier = {"type": "m.id.user", "user": ALICE}
    return {"type": "m.login.password", "identifier": identifier, "password": password}
