"""CS deactivateAccount with ``erase``, on a whole server."""

from urllib.parse import quote

import pytest

from tests.features.rooms import create_room
from tests.server import PASSWORD, Server, UserClient

ALICE = "@alice:test"


async def store_something(alice: UserClient) -> None:
    """Leave a trace in every table that has rows of a user's own."""
    room_id = quote(await create_room(alice))
    user = f"/v3/user/{ALICE}"
    for path, body in (
        (f"{user}/account_data/org.example.x", {"a": 1}),
        (f"{user}/rooms/{room_id}/account_data/org.example.x", {"a": 1}),
        (f"{user}/rooms/{room_id}/tags/m.favourite", {}),
        (f"/v3/profile/{ALICE}/org.example.x", {"org.example.x": "a"}),
        (f"/v3/presence/{ALICE}/status", {"presence": "online", "status_msg": "a"}),
        ("/v3/pushrules/global/content/a", {"pattern": "a", "actions": []}),
    ):
        response = await alice.put(path, body)
        assert response.status == 200, response.body
    await alice.post(f"{user}/filter", {"room": {}})


async def rows_of(server: Server) -> int:
    """How many rows those tables have of the user."""
    row = await server.db.first(
        """
        SELECT (SELECT COUNT(*) FROM account_data WHERE user_id = :user_id)
             + (SELECT COUNT(*) FROM profiles_fields WHERE user_id = :user_id)
             + (SELECT COUNT(*) FROM presence WHERE user_id = :user_id)
             + (SELECT COUNT(*) FROM push_rules WHERE user_id = :user_id)
             + (SELECT COUNT(*) FROM push_past_rulesets WHERE user_id = :user_id)
             + (SELECT COUNT(*) FROM filters WHERE user_id = :user_id)
             + (SELECT COUNT(*) FROM devices WHERE user_id = :user_id)
        """,
        user_id=ALICE,
    )
    assert row is not None
    count: int = row[0]
    return count


@pytest.mark.parametrize("erase", [True, False])
async def test_erasing_leaves_nothing_of_what_a_user_had_stored(
    server: Server,
    erase: bool,
) -> None:
    """ "The server should additionally erase any non-event data"."""
    alice = server.client(ALICE)
    await store_something(alice)
    assert await rows_of(server) >= 9

    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": ALICE},
        "password": PASSWORD,
    }
    response = await alice.post(
        "/v3/account/deactivate", {"erase": erase, "auth": auth}
    )

    assert response.status == 200, response.body
    assert (await rows_of(server) == 0) is erase
