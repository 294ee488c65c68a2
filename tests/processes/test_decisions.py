"""Decisions that rest on what was read, made by two processes at the same time."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from tests.fakes.clock import FakeClock
from tests.fakes.federation import FakeTransport
from tests.fakes.processes import Process
from tremula.features.account_data.service import AccountData
from tremula.features.account_data.storage import GLOBAL
from tremula.features.profiles.remote import RemoteProfiles
from tremula.features.profiles.service import Profiles
from tremula.features.push.service import PushRules
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.peers import Peers
from tremula.protocol.errors import ProfileTooLarge
from tremula.protocol.identifiers import ServerName, UserId
from tremula.protocol.signing import SigningKey
from tremula.rooms.memberships import Memberships
from tremula.rooms.reader import RoomReader

ALICE: Final = UserId("@alice:test")
OWN: Final = ServerName("test")
_ROUNDS: Final = 5

Both = tuple[Process, Process]
_Change = Callable[[dict[str, Any]], Mapping[str, Any]]


def _profiles(process: Process, clock: FakeClock) -> Profiles:
    key = SigningKey.from_seed("ed25519:test", bytes(32))
    client = FederationClient(Peers(OWN), key, FakeTransport(is_down=True))
    remote = RemoteProfiles(client, clock)
    return Profiles(process.database, process.journal, remote, OWN)


async def test_a_profile_is_never_too_large(processes: Both, clock: FakeClock) -> None:
    """Each of two fields has room, both have not."""
    one, other = (_profiles(each, clock) for each in processes)
    for number in range(_ROUNDS):
        user_id = UserId(f"@user{number}:test")

        outcomes = await asyncio.gather(
            one.set_field(user_id, "m.one", "x" * 40_000),
            other.set_field(user_id, "m.other", "x" * 40_000),
            return_exceptions=True,
        )

        refused = [each for each in outcomes if each is not None]
        assert [type(each) for each in refused] == [ProfileTooLarge]


async def test_a_profile_is_read_anew_where_it_was_in_memory(
    processes: Both, clock: FakeClock
) -> None:
    one, other = (_profiles(each, clock) for each in processes)
    await one.set_field(ALICE, "displayname", "Alice")
    await processes[1].journal.settled()
    assert await other.member_fields(ALICE) == {"displayname": "Alice"}

    await one.set_field(ALICE, "displayname", "Alicia")
    await processes[1].journal.settled()

    assert await other.member_fields(ALICE) == {"displayname": "Alicia"}


def _account_data(process: Process) -> AccountData:
    database, journal = process.database, process.journal
    memberships = Memberships(database, journal)
    return AccountData(
        db=database,
        journal=journal,
        reader=cast("RoomReader", None),
        memberships=memberships,
        push_rules=PushRules(database, journal, memberships),
    )


async def test_account_data_is_updated_twice_at_once(processes: Both) -> None:
    one, other = map(_account_data, processes)

    def adding(name: str) -> _Change:
        def change(content: dict[str, Any]) -> Mapping[str, Any]:
            return {**content, name: True}

        return change

    for number in range(_ROUNDS):
        data_type = f"m.type{number}"
        await asyncio.gather(
            one.update(ALICE, data_type, adding("one")),
            other.update(ALICE, data_type, adding("other")),
        )

        expected = {"one": True, "other": True}
        assert await one.find_in_room(ALICE, GLOBAL, data_type) == expected


async def test_whom_a_user_ignores_is_known_everywhere(processes: Both) -> None:
    one, other = map(_account_data, processes)
    assert await other.ignored_users(ALICE) == frozenset()

    ignored: dict[str, Any] = {"ignored_users": {"@mallory:test": {}}}
    await one.put(ALICE, "m.ignored_user_list", ignored)
    await processes[1].journal.settled()

    assert await other.ignored_users(ALICE) == {"@mallory:test"}
    processes[1].journal.forget(processes[1].journal.position)
    assert await other.ignored_users(ALICE) == {"@mallory:test"}
