"""CS getWellknownSupport."""

from pathlib import Path

from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.features.rooms import error_of
from tests.server import Server, config_for, running_server
from tremula.infra.config import Contact, Support

SUPPORT = "/.well-known/matrix/support"


async def test_people_are_told_whom_to_turn_to(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    support = Support(
        page="https://test/help",
        contacts=(
            Contact(role="m.role.admin", matrix_id="@admin:elsewhere"),
            Contact(role="m.role.security", email_address="security@test"),
        ),
    )
    config = replace(config_for(database_source, tmp_path), support=support)
    async with running_server(config) as server:
        answer = await server.anonymous.get(SUPPORT)

    assert answer.json == {
        "contacts": [
            {"role": "m.role.admin", "matrix_id": "@admin:elsewhere"},
            {"role": "m.role.security", "email_address": "security@test"},
        ],
        "support_page": "https://test/help",
    }


async def test_nobody_is_named_unless_configured(server: Server) -> None:
    assert error_of(await server.anonymous.get(SUPPORT)) == (404, "M_NOT_FOUND")
