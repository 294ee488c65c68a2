"""Who vouches for a join if the one who was to can't any more."""

from collections.abc import Collection

import pytest

from tremula.protocol.errors import Forbidden, MatrixError, UnableToAuthoriseJoin
from tremula.protocol.identifiers import UserId
from tremula.rooms.authorising import vouched_for

USERS = [UserId(f"@user{number}:test") for number in range(9)]


async def refused_by_all(error: MatrixError) -> list[UserId | None]:
    """Who was to vouch for a join that ends with *error*."""
    asked: list[UserId | None] = []

    async def choose(refused: Collection[UserId]) -> UserId | None:
        return next(user_id for user_id in USERS if user_id not in refused)

    async def attempt(user_id: UserId | None) -> None:
        asked.append(user_id)
        raise error

    with pytest.raises(type(error)):
        await vouched_for(choose, attempt)
    return asked


async def test_not_all_of_a_great_room_are_tried() -> None:
    assert await refused_by_all(UnableToAuthoriseJoin("gone")) == USERS[:5]


async def test_what_is_refused_for_another_reason_is_refused_once() -> None:
    """By the room's policy server, which would be asked for each of them."""
    assert await refused_by_all(Forbidden("spam")) == USERS[:1]
