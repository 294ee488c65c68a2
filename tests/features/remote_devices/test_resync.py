"""When device lists of other servers' users are fetched, and when forgotten."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.federation import FakeTransport
from tests.fakes.slots import SharedSlots
from tests.features.device_lists.lists import Lists, start_lists
from tests.features.user_data import ALICE, SERVER, UserDataServer
from tremula.features.device_keys.service import UserKeys
from tremula.features.remote_devices import storage
from tremula.features.remote_devices.fetching import ListFetcher
from tremula.features.remote_devices.resync import Resync
from tremula.features.remote_devices.storage import StoredList
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.peers import Peers
from tremula.infra.locks import KeyedLocks
from tremula.infra.metrics import Metrics
from tremula.infra.slots import SingleProcessSlots, Slots
from tremula.infra.supervisor import Supervisor
from tremula.protocol.identifiers import DeviceId, RoomId, UserId
from tremula.protocol.signing import SigningKey

BOB = UserId("@bob:far.test")
CAROL = UserId("@carol:far.test")

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Syncing:
    """The services under test; no other server can be reached."""

    lists: Lists
    clock: FakeClock
    fetcher: ListFetcher
    resync: Resync
    transport: FakeTransport

    def answer_with_list(self, user_id: UserId, status: int = 200) -> None:
        """Have other servers reached, whose users have no devices."""
        self.transport.is_down = False
        self.transport.status = status
        body = {"user_id": user_id, "stream_id": 1, "devices": []}
        self.transport.answer = orjson.dumps(body)

    async def keep(self, user_id: UserId) -> None:
        """Have a list of a user with one device."""
        unit = self.lists.server.journal.unit()
        keys = UserKeys({DeviceId("PHONE"): b"{}"})
        storage.replace_list(unit, user_id, StoredList(1, self.lists.now, keys))
        await self.lists.server.journal.commit(unit)

    async def want(self, user_id: UserId) -> None:
        """Have a list fetched."""
        unit = self.lists.server.journal.unit()
        self.resync.want(unit, user_id)
        await self.lists.server.journal.commit(unit)

    async def kept(self) -> set[UserId]:
        """Whose lists there are."""
        return set(await storage.lists_of(self.lists.server.database, [BOB, CAROL]))


@pytest.fixture
async def syncing(user_data: UserDataServer) -> AsyncIterator[Syncing]:
    async with started(user_data, SingleProcessSlots()) as syncing:
        yield syncing


@asynccontextmanager
async def started(user_data: UserDataServer, slots: Slots) -> AsyncIterator[Syncing]:
    """The services of one process."""
    lists = start_lists(user_data)
    transport = FakeTransport(is_down=True)
    key = SigningKey.from_seed("ed25519:test", bytes(32))
    supervisor = Supervisor(Metrics())
    fetcher = ListFetcher(
        journal=user_data.journal,
        clock=user_data.clock,
        client=FederationClient(Peers(SERVER), key, transport),
        shared=lists.part.company.shared,
        lists=lists.lists,
        supervisor=supervisor,
        changing=KeyedLocks(),
    )
    resync = Resync(
        db=user_data.database,
        journal=user_data.journal,
        clock=user_data.clock,
        shared=lists.part.company.shared,
        fetcher=fetcher,
        slots=slots,
    )
    yield Syncing(lists, user_data.clock, fetcher, resync, transport)
    await supervisor.stop()


@pytest.fixture
async def room_id(syncing: Syncing) -> RoomId:
    """A room of Alice and Bob."""
    room_id = await syncing.lists.server.create_room(ALICE)
    await syncing.lists.member(room_id, BOB, "join")
    return room_id


async def test_who_is_not_reached_is_asked_again_later_and_later(
    syncing: Syncing, room_id: RoomId
) -> None:
    await syncing.want(BOB)
    asked = []
    for _ in range(16):
        await syncing.resync.fetch_due()
        asked.append(len(syncing.transport.sent))
        syncing.clock.advance_ms(MINUTE_MS)

    # After a minute, then two, four and eight.
    assert asked == [1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5]


async def test_lists_are_kept_as_long_as_a_room_is_shared(
    syncing: Syncing, room_id: RoomId
) -> None:
    await syncing.keep(BOB)
    await syncing.keep(CAROL)

    await syncing.resync.forget_unshared()
    assert await syncing.kept() == {BOB}

    await syncing.lists.member(room_id, ALICE, "leave")
    await syncing.resync.forget_unshared()
    assert await syncing.kept() == set()


async def test_nobody_is_asked_for_users_with_whom_no_room_is_shared_any_more(
    syncing: Syncing, room_id: RoomId
) -> None:
    await syncing.keep(BOB)
    await syncing.want(BOB)
    await syncing.lists.member(room_id, BOB, "leave")

    await syncing.resync.fetch_due()

    assert syncing.transport.sent == []
    assert await syncing.kept() == set()
    database = syncing.lists.server.database
    assert await storage.wanted_among(database, [BOB]) == {}


@pytest.mark.parametrize("status", [200, 404])
async def test_whoever_shares_a_room_is_told_with_the_list_that_was_wanted(
    syncing: Syncing, room_id: RoomId, status: int
) -> None:
    """A crash right after that loses nothing, whoever had it fetched."""
    await syncing.keep(BOB)
    await syncing.want(BOB)
    since = syncing.lists.now
    syncing.answer_with_list(BOB, status)

    await syncing.fetcher.fetch(BOB, seen_pos=since)

    assert await storage.wanted_among(syncing.lists.server.database, [BOB]) == {}
    assert await syncing.lists.news(ALICE, since) == ({BOB}, set())


async def test_a_list_that_someone_asks_for_first_is_no_news(
    syncing: Syncing, room_id: RoomId
) -> None:
    since = syncing.lists.now
    syncing.answer_with_list(BOB)

    await syncing.fetcher.fetch(BOB, seen_pos=since)

    assert await syncing.kept() == {BOB}
    assert await syncing.lists.news(ALICE, since) == (set(), set())


async def test_of_several_processes_the_holder_of_the_server_asks(
    user_data: UserDataServer,
) -> None:
    """And who takes over goes on."""
    slots = SharedSlots()
    one_holds, other_holds = slots.process(), slots.process()
    slots.give(one_holds)
    async with (
        started(user_data, one_holds) as one,
        started(user_data, other_holds) as other,
    ):
        room_id = await user_data.create_room(ALICE)
        await one.lists.member(room_id, BOB, "join")
        await other.want(BOB)
        await other.resync.fetch_due()
        assert not other.transport.sent
        await one.resync.fetch_due()
        assert len(one.transport.sent) == 1

        slots.give(other_holds, "far.test")
        other.clock.advance_ms(MINUTE_MS)
        await one.resync.fetch_due()
        await other.resync.fetch_due()

        assert (len(one.transport.sent), len(other.transport.sent)) == (1, 1)
