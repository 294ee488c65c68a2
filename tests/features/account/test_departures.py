"""Users whose accounts are closed, until nothing is left of them in any room."""

from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from tests.fakes.clock import FakeClock
from tests.fakes.slots import SharedSlots
from tests.features.accounts import PASSWORD, AccountsServer, Policy, start_accounts
from tests.server import Server
from tremula.features.account.departures import REQUESTS_END_MS, Departures
from tremula.infra.clock import SystemClock
from tremula.infra.db import DatabaseUnavailable
from tremula.infra.slots import SingleProcessSlots
from tremula.protocol.errors import Unknown
from tremula.protocol.identifiers import UserId
from tremula.rooms.rooms import Rooms

ALICE, BOB = UserId("@alice:test"), UserId("@bob:test")
AUTH = {
    "type": "m.login.password",
    "identifier": {"type": "m.id.user", "user": "alice"},
    "password": PASSWORD,
}


def _departures(server: AccountsServer) -> Departures:
    return Departures(server.accounts, SingleProcessSlots())


async def _departing(server: AccountsServer) -> list[UserId]:
    return await server.users.departing(
        after=UserId(""), closed_by_ms=server.clock.now_ms()
    )


async def test_what_the_databases_absence_has_broken_off_is_finished(
    accounts: AccountsServer,
) -> None:
    """The account is closed, and who has closed it can't ask again."""
    alice = await accounts.user("alice")
    accounts.hooks.failures[ALICE] = DatabaseUnavailable("it restarts")

    response = await alice.post("/v3/account/deactivate", {"erase": True, "auth": AUTH})

    assert (response.status, response.json["id_server_unbind_result"]) == (
        200,
        "success",
    )
    assert (accounts.hooks.deactivated, accounts.hooks.erased) == ([], [])
    accounts.hooks.failures.clear()
    accounts.clock.advance_ms(REQUESTS_END_MS)
    await _departures(accounts).finish()
    assert (accounts.hooks.deactivated, accounts.hooks.erased) == ([ALICE], [ALICE])
    assert await _departing(accounts) == []


async def test_what_is_under_way_is_waited_for(accounts: AccountsServer) -> None:
    await accounts.register("alice")
    await accounts.accounts.deactivate(ALICE)

    accounts.clock.advance_ms(REQUESTS_END_MS - 1)
    await _departures(accounts).finish()
    assert accounts.hooks.deactivated == [ALICE]
    accounts.clock.advance_ms(1)
    await _departures(accounts).finish()
    await _departures(accounts).finish()

    assert accounts.hooks.deactivated == [ALICE, ALICE]


async def test_a_crash_amid_a_departure_is_made_up_for(
    accounts: AccountsServer,
) -> None:
    await accounts.register("alice")
    accounts.hooks.failures[ALICE] = RuntimeError("the power went off")
    with pytest.raises(RuntimeError):
        await accounts.accounts.deactivate(ALICE, is_erased=True)

    accounts.clock.advance_ms(REQUESTS_END_MS)
    restarted = await start_accounts(accounts.database, Policy(), accounts.clock)
    await _departures(restarted).finish()
    restarted.users.passwords.close()

    assert restarted.hooks.deactivated == [ALICE]
    assert restarted.hooks.erased == [ALICE]
    assert await _departing(restarted) == []


async def test_who_can_not_leave_yet_holds_up_nobody(accounts: AccountsServer) -> None:
    for user_id in (ALICE, BOB):
        await accounts.register(user_id[1:].partition(":")[0])
        accounts.hooks.failures[user_id] = Unknown("not now", status=502)
        await accounts.accounts.deactivate(user_id)
    del accounts.hooks.failures[BOB]

    accounts.clock.advance_ms(REQUESTS_END_MS)
    await _departures(accounts).finish()

    assert accounts.hooks.deactivated == [BOB]
    assert await _departing(accounts) == [ALICE]


async def test_a_departure_is_finished_by_who_holds_the_user(
    accounts: AccountsServer,
) -> None:
    await accounts.register("alice")
    await accounts.accounts.deactivate(ALICE)
    accounts.clock.advance_ms(REQUESTS_END_MS)
    slots = SharedSlots()
    one, other = slots.process(), slots.process()
    slots.give(one)

    await Departures(accounts.accounts, other).finish()
    assert await _departing(accounts) == [ALICE]
    slots.give(other, ALICE)
    await Departures(accounts.accounts, other).finish()

    assert await _departing(accounts) == []


@pytest.mark.one_process(reason="it lets one process create a room too slowly")
async def test_a_room_that_is_made_amid_a_deactivation_is_left(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = server.client(ALICE)
    _once_before_creating(monkeypatch, lambda: server.app.accounts.deactivate(ALICE))

    made = await alice.post("/v3/createRoom", {"preset": "public_chat"})

    assert (made.status, await _membership(server)) == (200, "join")
    clock = FakeClock(SystemClock().now_ms() + REQUESTS_END_MS)
    later = replace(server.app.accounts, clock=clock)
    await Departures(later, SingleProcessSlots()).finish()
    assert await _membership(server) == "leave"


async def _membership(server: Server) -> str:
    row = await server.db.first(
        "SELECT membership FROM rooms_memberships WHERE user_id = :user_id",
        user_id=ALICE,
    )
    assert row is not None
    membership: str = row[0]
    return membership


def _once_before_creating(
    monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], Awaitable[object]]
) -> None:
    create = Rooms.create

    async def slowly(self: Rooms, *args: object, **more: object) -> object:
        monkeypatch.setattr(Rooms, "create", create)
        await meanwhile()
        return await create(self, *args, **more)  # type: ignore[arg-type] # as given

    monkeypatch.setattr(Rooms, "create", slowly)
