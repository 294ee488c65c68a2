"""What one process has answered 200 to, any other shows at once.

A balancer may send two requests of a client to two processes. Each row writes at one
and reads at the other, with nothing in between; one process alone passes as well.
"""

import pytest

from tests.conformance.places import Row, places_of
from tests.conformance.rows_of_rooms import OF_ROOMS
from tests.conformance.rows_of_users import OF_USERS
from tests.server import Server


@pytest.mark.parametrize("writer", [0, -1], ids=["first", "last"])
@pytest.mark.parametrize("rows", [OF_USERS, OF_ROOMS], ids=["users", "rooms"])
async def test_what_one_process_has_written_another_shows(
    server: Server, rows: tuple[Row, ...], writer: int
) -> None:
    places = await places_of(server)
    one, other = places[writer], places[-1 - writer]

    stale = [row.__name__ for row in rows if not await row(one, other)]

    assert stale == []
