"""The application services that processes know, and what is theirs."""

import pytest

from tests.conftest import DatabaseSource
from tests.fakes.processes import Process, rest, two_processes
from tests.features.appservices.registrations import namespaces, registration
from tremula.features.appservices.opening import open_appservices
from tremula.features.appservices.service import Appservices, StoredRegistration
from tremula.infra.db import Database, DatabaseRefused
from tremula.infra.journal import Journal
from tremula.protocol.appservices import Registration
from tremula.protocol.errors import Forbidden, InvalidParam, NotFound
from tremula.protocol.identifiers import RoomAlias, RoomId, ServerName, UserId

SERVER = ServerName("test")
IRC = registration("irc")
ALICE = UserId("@_irc_alice:test")


@pytest.fixture
async def appservices(database: Database) -> Appservices:
    return await opened(database)


async def opened(database: Database, *files: Registration) -> Appservices:
    journal = await Journal.open(database)
    appservices, _ = await open_appservices(database, journal, SERVER, files)
    return appservices


def ids(appservices: tuple[object, ...]) -> list[str]:
    return [getattr(each, "id", "") for each in appservices]


async def test_without_any_there_is_nothing(appservices: Appservices) -> None:
    assert not appservices
    assert appservices.by_token(IRC.as_token) is None
    assert appservices.of_user(ALICE) == ()
    assert not appservices.cache


async def test_one_that_was_added_is_found(appservices: Appservices) -> None:
    await appservices.add(IRC)

    assert appservices
    found = appservices.get("irc")
    assert found.registration == IRC
    assert found.sender == "@_irc_bot:test"
    assert appservices.by_token(IRC.as_token) is found
    assert appservices.by_token("another") is None
    assert appservices.all() == [found]


async def test_users_are_of_those_whose_namespaces_match(
    appservices: Appservices,
) -> None:
    await appservices.add(IRC)
    await appservices.add(
        registration("all", namespaces=namespaces(exclusive=False, users="@.*:test"))
    )

    assert sorted(ids(appservices.of_user(ALICE))) == ["all", "irc"]
    assert sorted(ids(appservices.of_user(UserId("@_irc_bot:test")))) == ["all", "irc"]
    assert ids(appservices.of_user(UserId("@bob:test"))) == ["all"]


async def test_users_of_other_servers_are_nobodys(appservices: Appservices) -> None:
    await appservices.add(IRC)

    assert appservices.of_user(UserId("@_irc_alice:elsewhere")) == ()
    assert not appservices.get("irc").matches_user(UserId("@_irc_alice:elsewhere"))


async def test_aliases_and_rooms_are_found_by_their_namespaces(
    appservices: Appservices,
) -> None:
    await appservices.add(
        registration("irc", namespaces=namespaces(aliases="#irc_.*", rooms="!abc"))
    )

    assert ids(appservices.of_alias(RoomAlias("#irc_a:elsewhere"))) == ["irc"]
    assert ids(appservices.of_alias(RoomAlias("#a:test"))) == []
    assert ids(appservices.of_room(RoomId("!abcd:test"))) == ["irc"]
    assert ids(appservices.of_room(RoomId("!ab:test"))) == []


async def test_only_exclusive_namespaces_keep_others_out(
    appservices: Appservices,
) -> None:
    await appservices.add(IRC)
    await appservices.add(
        registration(
            "open",
            namespaces=namespaces(exclusive=False, users="@open_", aliases="#open_"),
        )
    )
    irc = appservices.get("irc")

    assert appservices.exclusive_of_user(ALICE) is irc
    assert appservices.exclusive_of_user(ALICE, but=irc) is None
    assert appservices.exclusive_of_user(irc.sender) is irc
    assert appservices.exclusive_of_user(UserId("@open_a:test")) is None
    assert appservices.exclusive_of_alias(RoomAlias("#open_a:test")) is None


async def test_exclusive_aliases_are_claimed(appservices: Appservices) -> None:
    await appservices.add(registration("irc", namespaces=namespaces(aliases="#irc_")))
    irc = appservices.get("irc")

    assert appservices.exclusive_of_alias(RoomAlias("#irc_a:test")) is irc
    assert appservices.exclusive_of_alias(RoomAlias("#irc_a:test"), but=irc) is None


async def test_the_owner_may_be_acted_as_without_being_of_interest(
    appservices: Appservices,
) -> None:
    await appservices.add(registration("irc", owner="@me:test"))
    irc = appservices.get("irc")

    assert irc.may_act_as(UserId("@me:test"))
    assert irc.may_act_as(ALICE)
    assert not irc.may_act_as(UserId("@bob:test"))
    assert not irc.matches_user(UserId("@me:test"))


async def test_ids_and_tokens_are_unique(appservices: Appservices) -> None:
    await appservices.add(IRC)
    other = registration("other")

    with pytest.raises(InvalidParam):
        await appservices.add(registration("irc", as_token="new"))
    with pytest.raises(InvalidParam):
        await appservices.add(registration("other", as_token=IRC.as_token))
    await appservices.add(other)
    with pytest.raises(InvalidParam):
        await appservices.replace(registration("other", as_token=IRC.as_token))

    assert [each.registration for each in appservices.all()] == [IRC, other]


async def test_a_replaced_one_is_as_it_is_now(appservices: Appservices) -> None:
    await appservices.add(IRC)
    assert ids(appservices.of_user(ALICE)) == ["irc"]
    told: list[str] = []
    appservices.on_changed(told.append)

    changed = registration("irc", as_token="new", namespaces=namespaces(users="@x_"))
    await appservices.replace(changed)

    assert told == ["irc"]
    assert appservices.by_token(IRC.as_token) is None
    assert appservices.by_token("new") is appservices.get("irc")
    assert appservices.of_user(ALICE) == ()
    assert ids(appservices.of_user(UserId("@x_1:test"))) == ["irc"]


async def test_a_removed_one_is_gone(appservices: Appservices) -> None:
    await appservices.add(IRC)
    told: list[str] = []
    appservices.on_changed(told.append)

    await appservices.remove("irc")

    assert told == ["irc"]
    assert not appservices
    assert appservices.of_user(ALICE) == ()
    with pytest.raises(NotFound):
        appservices.get("irc")
    with pytest.raises(NotFound):
        await appservices.remove("irc")


async def test_they_are_there_after_a_restart(
    appservices: Appservices, database: Database
) -> None:
    await appservices.add(IRC)

    again = await opened(database)

    assert [each.registration for each in again.all()] == [IRC]


async def test_those_of_files_are_as_the_files_are(database: Database) -> None:
    first = await opened(database, IRC, registration("gone"))
    assert [each.id for each in first.all()] == ["gone", "irc"]
    await first.add(registration("added"))
    changed = registration("irc", as_token="changed")

    again = await opened(database, changed)

    assert [each.registration for each in again.all()] == [
        registration("added"),
        changed,
    ]
    assert [each.from_file for each in again.all()] == [False, True]


async def test_those_of_files_are_changed_there_only(database: Database) -> None:
    appservices = await opened(database, IRC)

    with pytest.raises(Forbidden):
        await appservices.remove("irc")
    with pytest.raises(Forbidden):
        await appservices.replace(IRC)
    with pytest.raises(InvalidParam):
        await appservices.add(IRC)


async def test_a_file_takes_the_place_of_what_was_added(database: Database) -> None:
    first = await opened(database)
    await first.add(registration("irc", as_token="another"))

    again = await opened(database, IRC)

    assert [each.registration for each in again.all()] == [IRC]
    assert again.get("irc").from_file


async def test_a_file_with_the_token_of_another_is_refused(database: Database) -> None:
    first = await opened(database)
    await first.add(registration("other", as_token=IRC.as_token))

    with pytest.raises(DatabaseRefused, match="as_token"):
        await opened(database, IRC)

    assert [each.id for each in (await opened(database)).all()] == ["other"]


async def at(process: Process, *files: Registration) -> tuple[Appservices, list[str]]:
    appservices, changed = await open_appservices(
        process.database, process.journal, SERVER, files
    )
    await appservices.catch_up()
    return appservices, list(changed)


async def test_every_process_knows_them(database_source: DatabaseSource) -> None:
    async with two_processes(database_source) as (one, other):
        here, _ = await at(one)
        there, _ = await at(other)
        told: list[str] = []
        there.on_changed(told.append)

        await here.add(IRC)
        await rest(one, other)
        assert there.get("irc").registration == IRC

        await here.remove("irc")
        await rest(one, other)
        assert not there
        assert told == ["irc", "irc"]


async def test_a_process_tells_what_its_files_have_changed(
    database_source: DatabaseSource,
) -> None:
    async with two_processes(database_source) as (one, other):
        there, _ = await at(other, registration("gone"))
        here, changed = await at(one, IRC)
        assert sorted(changed) == ["gone", "irc"]

        here.announce(changed)
        await rest(one, other)

        assert [each.id for each in there.all()] == ["irc"]
        assert there.get("irc").from_file


async def test_what_was_missed_is_read_again(database_source: DatabaseSource) -> None:
    async with two_processes(database_source) as (one, other):
        here, _ = await at(one)
        await here.add(IRC)
        await here.add(registration("new"))
        outdated = [registration("irc", url="http://old"), registration("gone")]
        there = Appservices(
            other.database,
            other.journal,
            SERVER,
            [StoredRegistration(each, from_file=False) for each in outdated],
        )
        told: list[str] = []
        there.on_changed(told.append)

        await there.catch_up()

        assert sorted(told) == ["gone", "irc", "new"]
        assert [each.id for each in there.all()] == ["irc", "new"]
        assert there.get("irc").registration == IRC
