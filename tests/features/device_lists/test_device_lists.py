"""Whose devices are to be asked for anew, as `/sync` tells it."""

import random
from collections.abc import Awaitable, Callable

import pytest

from tests.fakes.clock import FakeClock
from tests.features.device_lists.lists import CHANGE, Lists, start_lists
from tests.features.user_data import (
    ALICE,
    BOB,
    MALLORY,
    UserDataServer,
    start_user_data,
)
from tests.query_counter import counted
from tremula.infra.db import Conflict, Database
from tremula.protocol.identifiers import RoomId, UserId

FAR = UserId("@carol:far.test")


@pytest.fixture
def lists(user_data: UserDataServer) -> Lists:
    return start_lists(user_data)


async def test_who_shares_a_room_is_told_of_a_change_and_nobody_else(
    lists: Lists,
) -> None:
    await lists.server.create_room(ALICE, BOB)
    await lists.server.create_room(MALLORY)
    since = lists.now

    await lists.change(ALICE)

    assert await lists.news(BOB, since) == ({ALICE}, set())
    assert await lists.news(ALICE, since) == ({ALICE}, set())
    assert await lists.news(MALLORY, since) == (set(), set())
    assert await lists.news(BOB, lists.now) == (set(), set())


async def test_an_initial_sync_tells_of_nobody(lists: Lists) -> None:
    await lists.server.create_room(ALICE, BOB)
    await lists.change(ALICE)

    assert await lists.news(BOB, 0) == (set(), set())


async def test_a_change_wakes_who_shares_a_room_and_oneself_only(lists: Lists) -> None:
    await lists.server.create_room(ALICE, BOB)
    await lists.server.create_room(MALLORY)
    for user_id in (ALICE, BOB, MALLORY):
        await lists.server.memberships.joined_by(user_id)
    since = lists.now

    await lists.change(ALICE)

    woken = lists.server.journal.was_woken
    assert [woken(each, since) for each in (ALICE, BOB, MALLORY)] == [True, True, False]


async def test_a_change_wakes_whose_rooms_are_not_in_memory(
    lists: Lists, database: Database, clock: FakeClock
) -> None:
    await lists.server.create_room(ALICE, BOB)
    restarted = start_lists(await start_user_data(database, clock))
    since = restarted.now

    await restarted.change(ALICE)

    assert restarted.server.journal.was_woken(BOB, since)


async def test_what_rests_on_what_was_seen_wakes_nobody_outside_of_the_rooms(
    lists: Lists, database: Database, clock: FakeClock
) -> None:
    await lists.server.create_room(ALICE, BOB)
    await lists.server.create_room(MALLORY)
    restarted = start_lists(await start_user_data(database, clock))
    for user_id in (BOB, MALLORY):
        await restarted.server.memberships.joined_by(user_id)
    since = restarted.now

    seen_pos = await restarted.lists.seen_pos(ALICE)
    await restarted.change(ALICE, seen_pos=seen_pos)

    woken = restarted.server.journal.was_woken
    assert [woken(each, since) for each in (BOB, MALLORY)] == [True, False]


async def test_what_rests_on_what_is_outdated_is_not_stored(lists: Lists) -> None:
    """Whether the list had changed before or not, and if it changes no list."""
    for _ in range(2):
        seen_pos = await lists.lists.seen_pos(ALICE)
        await lists.change(ALICE)

        with pytest.raises(Conflict):
            await lists.change(ALICE, seen_pos=seen_pos)
        unit = lists.server.journal.unit()
        lists.lists.check_unchanged(unit, ALICE, seen_pos=seen_pos)
        with pytest.raises(Conflict):
            await lists.server.journal.commit(unit)

        await lists.change(ALICE, seen_pos=await lists.lists.seen_pos(ALICE))


async def test_only_changes_of_our_own_users_are_noted_for_others(lists: Lists) -> None:
    await lists.change(ALICE)
    await lists.change(FAR, room_nids=set())

    assert lists.noted == [(ALICE, CHANGE)]


async def test_whoever_joins_is_told_of_all_members_and_they_of_them(
    lists: Lists,
) -> None:
    room_id = await lists.server.create_room(ALICE, BOB)
    since = lists.now

    await lists.member(room_id, MALLORY, "join")

    assert await lists.news(MALLORY, since) == ({ALICE, BOB}, set())
    assert await lists.news(ALICE, since) == ({MALLORY}, set())


async def test_whoever_leaves_is_told_of_all_members_and_they_of_them(
    lists: Lists,
) -> None:
    room_id = await lists.server.create_room(ALICE, BOB, MALLORY)
    since = lists.now

    await lists.member(room_id, MALLORY, "leave")

    assert await lists.news(MALLORY, since) == (set(), {ALICE, BOB})
    assert await lists.news(ALICE, since) == (set(), {MALLORY})


async def test_members_of_another_shared_room_neither_come_nor_go(
    lists: Lists,
) -> None:
    await lists.server.create_room(ALICE, BOB)
    second = await lists.server.create_room(ALICE)
    since = lists.now

    await lists.member(second, BOB, "join")
    assert await lists.news(ALICE, since) == (set(), set())
    assert await lists.news(BOB, since) == (set(), set())

    since = lists.now
    await lists.member(second, BOB, "leave")
    assert await lists.news(ALICE, since) == (set(), set())
    assert await lists.news(BOB, since) == (set(), set())


async def test_a_new_name_is_no_news(lists: Lists) -> None:
    room_id = await lists.server.create_room(ALICE, BOB)
    since = lists.now

    await lists.member(room_id, BOB, "join")

    assert await lists.news(ALICE, since) == (set(), set())
    assert await lists.news(BOB, since) == (set(), set())


async def test_who_was_away_in_between_is_to_be_asked_for_anew(lists: Lists) -> None:
    """Of another server's user nothing was heard meanwhile."""
    room_id = await lists.server.create_room(ALICE, BOB)
    since = lists.now

    await lists.member(room_id, BOB, "leave")
    await lists.member(room_id, BOB, "join")

    assert await lists.news(ALICE, since) == ({BOB}, set())


async def test_nothing_is_lost_over_a_restart(
    lists: Lists, database: Database, clock: FakeClock
) -> None:
    room_id = await lists.server.create_room(ALICE, BOB)
    since = lists.now
    await lists.change(BOB)
    await lists.member(room_id, MALLORY, "join")
    await lists.member(room_id, BOB, "leave")

    restarted = start_lists(await start_user_data(database, clock))

    assert await restarted.news(ALICE, since) == ({MALLORY}, {BOB})
    assert await restarted.news(MALLORY, since) == ({ALICE}, set())


async def test_a_poll_without_changes_makes_no_query(lists: Lists) -> None:
    room_id = await lists.server.create_room(ALICE, BOB)
    await lists.server.create_room(MALLORY)
    await lists.news(ALICE, lists.now)
    since = lists.now
    await lists.server.send(room_id, BOB)
    await lists.change(MALLORY)

    with counted(lists.server.database) as queries:
        assert await lists.news(ALICE, since) == (set(), set())
    assert queries.reads == []


async def test_a_join_costs_the_same_in_a_room_of_any_size(lists: Lists) -> None:
    reads = []
    for size in (2, 40):
        others = [UserId(f"@u{size}-{number}:test") for number in range(size)]
        room_id = await lists.server.create_room(ALICE, *others)
        since = lists.now
        assert await lists.news(ALICE, since) == (set(), set())
        joining = UserId(f"@new{size}:test")
        await lists.member(room_id, joining, "join")
        with counted(lists.server.database) as queries:
            assert await lists.news(ALICE, since) == ({joining}, set())
        reads.append(len(queries.reads))

    # PostgreSQL counts a scan twice.
    assert reads in ([3, 3], [4, 4])


USERS = (ALICE, BOB, MALLORY)


class Model:
    """Who is in which room and whose devices changed, as a client has to learn it."""

    def __init__(self, lists: Lists, rooms: list[RoomId]) -> None:
        self.lists = lists
        self.joined: dict[RoomId, set[UserId]] = {room: {ALICE} for room in rooms}
        self.changed: set[UserId] = set()

    def sharing(self, user_id: UserId) -> set[UserId]:
        found: set[UserId] = set()
        for members in self.joined.values():
            if user_id in members:
                found |= members
        return found - {user_id}

    async def step(self, rng: random.Random) -> None:
        user_id = rng.choice(USERS)
        room_id = rng.choice(list(self.joined))
        members = self.joined[room_id]
        action = rng.choice(("change", "join", "leave", "leave"))
        if action == "change":
            await self.lists.change(user_id)
            self.changed.add(user_id)
        elif action == "join":
            await self.lists.member(room_id, user_id, "join")
            members.add(user_id)
        elif user_id in members:
            await self.lists.member(room_id, user_id, "leave")
            members.discard(user_id)


Restart = Callable[[], Awaitable[Lists]]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarting"])
async def test_whatever_happens_a_client_knows_whom_to_ask_for(
    lists: Lists, database: Database, clock: FakeClock, seed: int, *, restarts: bool
) -> None:
    """``left`` is just who is not shared with any more; ``changed`` has everyone whose
    devices may be unlike what the client knows, and only those who share a room.
    """
    rng = random.Random(seed)  # noqa: S311 - a repeatable choice
    rooms = [await lists.server.create_room(ALICE) for _ in range(3)]
    model = Model(lists, rooms)
    for _ in range(12):
        before = {user_id: model.sharing(user_id) for user_id in USERS}
        since, model.changed = model.lists.now, set()
        for _ in range(rng.randint(1, 5)):
            await model.step(rng)
        if restarts:
            model.lists = start_lists(await start_user_data(database, clock))
        for user_id in USERS:
            now = model.sharing(user_id)
            changed, left = await model.lists.news(user_id, since)
            assert left == before[user_id] - now, f"seed {seed}"
            must = (model.changed & (now | {user_id})) | (now - before[user_id])
            assert must <= changed <= now | {user_id}, f"seed {seed}"
