"""The terms that new users accept."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.features.rooms import error_of
from tests.server import PASSWORD, config_for, running_server
from tremula.infra.config import ConfigError, PolicyDocument, load_config

TERMS = {"type": "m.login.terms"}


def document(language: str, name: str) -> PolicyDocument:
    return PolicyDocument(
        id="terms_of_service",
        version="1.2",
        language=language,
        name=name,
        url=f"https://example.org/terms-{language}",
    )


async def test_new_users_accept_the_terms(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    config = config_for(database_source, tmp_path)
    documents = (document("en", "Terms"), document("fr", "Conditions"))
    config = replace(config, registration=replace(config.registration, terms=documents))
    async with running_server(config) as server:
        client = server.anonymous
        body: dict[str, Any] = {"username": "alice", "password": PASSWORD}

        challenge = await client.post("/v3/register", body)

        assert challenge.status == 401
        assert challenge.json["flows"] == [{"stages": ["m.login.terms"]}]
        policy = {
            "version": "1.2",
            "en": {"name": "Terms", "url": "https://example.org/terms-en"},
            "fr": {"name": "Conditions", "url": "https://example.org/terms-fr"},
        }
        assert challenge.json["params"] == {
            "m.login.terms": {"policies": {"terms_of_service": policy}}
        }
        session = challenge.json["session"]
        dummy = {"type": "m.login.dummy", "session": session}
        refused = await client.post("/v3/register", {**body, "auth": dummy})
        assert error_of(refused) == (401, "M_FORBIDDEN")
        auth = {**TERMS, "session": session}
        made = await client.post("/v3/register", {**body, "auth": auth})
        assert (made.status, made.json["user_id"]) == (200, "@alice:test")


async def test_where_there_are_none_nobody_accepts_any(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    async with running_server(config_for(database_source, tmp_path)) as server:
        body = {"username": "alice", "password": PASSWORD, "auth": TERMS}

        response = await server.anonymous.post("/v3/register", body)

        assert response.status == 401
        assert response.json["params"] == {}
        assert {"stages": ["m.login.dummy"]} in response.json["flows"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ('id = "a b", version = "1", url = "https://x.org"', "terms[0].id"),
        ('id = "a", version = "1 2", url = "https://x.org"', "terms[0].version"),
        ('id = "a", version = "1", url = "ftp://x.org"', "terms[0].url"),
    ],
)
def test_documents_that_clients_could_not_show_are_refused(
    tmp_path: Path, fields: str, expected: str
) -> None:
    file = tmp_path / "tremula.toml"
    file.write_text(f'[registration]\nterms = [{{ {fields}, name = "x" }}]\n')

    with pytest.raises(ConfigError, match="registration") as refused:
        load_config(file, {})

    assert expected in str(refused.value)
