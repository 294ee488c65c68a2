"""Device lists of other servers' users, written by two processes that both read one."""

import asyncio

import pytest

from tests.fakes.processes import Process
from tremula.features.device_keys.service import UserKeys
from tremula.features.remote_devices import storage
from tremula.features.remote_devices.storage import StoredList
from tremula.infra.db import Conflict, Statements
from tremula.protocol.identifiers import DeviceId, UserId

FAR = UserId("@far:far.test")
Both = tuple[Process, Process]


def _list(stream_id: int, shared_pos: int) -> StoredList:
    keys = {DeviceId(f"D{stream_id}"): b"{}"}
    return StoredList(stream_id, shared_pos, UserKeys(keys))


def _fetched(stored: StoredList) -> Statements:
    unit = Statements()
    storage.replace_list(unit, FAR, stored)
    return unit


def _updated(known: StoredList, stream_id: int) -> Statements:
    unit = Statements()
    storage.update_stream_id(unit, FAR, known=known, stream_id=stream_id)
    return unit


async def _stored(process: Process) -> StoredList:
    return (await storage.lists_of(process.database, [FAR]))[FAR]


async def test_a_list_that_was_asked_for_earlier_replaces_no_later_one(
    processes: Both,
) -> None:
    one, other = processes
    await one.database.commit(_fetched(_list(8, shared_pos=20)))

    with pytest.raises(Conflict):
        await other.database.commit(_fetched(_list(5, shared_pos=10)))

    assert await _stored(other) == _list(8, shared_pos=20)


async def test_of_two_updates_of_one_list_one_is_decided_again(processes: Both) -> None:
    known = _list(5, shared_pos=10)
    await processes[0].database.commit(_fetched(known))

    outcomes = await asyncio.gather(
        *(
            each.database.commit(_updated(known, 6 + n))
            for n, each in enumerate(processes)
        ),
        return_exceptions=True,
    )

    assert sorted(type(each).__name__ for each in outcomes) == ["Conflict", "NoneType"]


async def test_an_update_of_a_list_that_was_fetched_anew_is_decided_again(
    processes: Both,
) -> None:
    one, other = processes
    known = _list(5, shared_pos=10)
    await one.database.commit(_fetched(known))
    await one.database.commit(_fetched(_list(5, shared_pos=20)))

    with pytest.raises(Conflict):
        await other.database.commit(_updated(known, 6))


async def test_an_update_makes_a_list_wanted_that_has_just_been_fetched(
    processes: Both,
) -> None:
    one, other = processes
    wanted, fetched, updated = Statements(), Statements(), Statements()
    storage.insert_wanted(wanted, [FAR], retry_at_ms=1)
    await one.database.commit(wanted)
    assert await storage.wanted_among(other.database, [FAR])

    storage.delete_wanted(fetched, FAR, fetched_pos=10)
    await one.database.commit(fetched)
    storage.upsert_seen(updated, FAR, pos=15, retry_at_ms=1)
    await other.database.commit(updated)

    assert await storage.wanted_among(one.database, [FAR]) == {FAR: 0}
