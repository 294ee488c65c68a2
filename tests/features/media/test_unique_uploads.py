"""Uploads that bridges name, so that nothing is uploaded twice, over HTTP."""

from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.features.media.files import CREATE, fill, path_of
from tests.server import Server, UserClient
from tremula.infra.config import Media
from tremula.protocol.mxc import Mxc

HOUR_MS = 3_600_000


async def create(client: UserClient, unique_id: str = "sticker") -> dict[str, Any]:
    """What creating an ID for *unique_id* answers."""
    query = {"com.beeper.unique_id": unique_id, "com.beeper.room_id": "!r:test"}
    response = await client.post(CREATE, query=query)
    assert response.status == 200, response.body
    answer: dict[str, Any] = response.json
    assert answer["com.beeper.unique_id"] == unique_id
    return answer


async def create_and_fill(client: UserClient) -> Mxc:
    """The same, and upload to it."""
    path = path_of((await create(client))["content_uri"])
    assert (await fill(client, path)).status == 200
    return Mxc.of(*path.split("/"))


async def test_the_same_name_is_the_same_id(alice: UserClient, bob: UserClient) -> None:
    first = await create(alice)

    assert await create(alice) == first
    assert "com.beeper.completed_at" not in first
    for other in (await create(alice, "other"), await create(bob)):
        assert other["content_uri"] != first["content_uri"]


@pytest.mark.one_process(reason="the clock jumps by two days amid requests")
async def test_what_is_here_need_not_be_uploaded(
    alice: UserClient, clock: FakeClock
) -> None:
    first = await create(alice)
    clock.advance_ms(5_000)
    uploaded_ms = clock.now_ms()
    assert (await fill(alice, path_of(first["content_uri"]))).status == 200
    clock.advance_ms(48 * HOUR_MS)

    assert await create(alice) == {
        "content_uri": first["content_uri"],
        "com.beeper.unique_id": "sticker",
        "com.beeper.completed_at": uploaded_ms,
    }


@pytest.mark.parametrize("media", [Media(pending_lifetime_s=60, pending_max=1)])
async def test_an_id_that_expired_is_replaced(
    alice: UserClient, clock: FakeClock
) -> None:
    first = await create(alice)
    clock.advance_ms(59_999)
    assert await create(alice) == first
    clock.advance_ms(1)

    second = await create(alice)

    assert second["content_uri"] != first["content_uri"]
    assert await create(alice) == second


async def test_what_was_deleted_is_uploaded_again(
    server: Server, alice: UserClient
) -> None:
    mxc = await create_and_fill(alice)
    await server.app.media.delete([mxc])

    again = await create(alice)

    assert again["content_uri"] != str(mxc)
    assert "com.beeper.completed_at" not in again
    rows = await server.db.all("SELECT media_id FROM media_unique_ids")
    assert [media_id for (media_id,) in rows] != [mxc.media_id]


async def test_what_is_in_quarantine_is_not_named(
    server: Server, alice: UserClient
) -> None:
    mxc = await create_and_fill(alice)
    await server.app.media.quarantine(mxc, by="@admin:test")

    assert (await create(alice))["content_uri"] != str(mxc)


async def test_a_name_has_a_bound(alice: UserClient) -> None:
    query = {"com.beeper.unique_id": "x" * 256}
    response = await alice.post(CREATE, query=query)

    assert (response.status, response.json["errcode"]) == (400, "M_INVALID_PARAM")
