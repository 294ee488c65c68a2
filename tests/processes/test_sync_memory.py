"""What a process remembers of clients and users that come to the other one, too."""

from tests.fakes.processes import Process, rest
from tests.features.user_data import ALICE, BOB
from tests.processes.servers import Servers
from tremula.features.sync.lazy_members import DeviceRoom, LazyMembers
from tremula.infra.db import Statements
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.rooms import erasures_storage
from tremula.rooms.erasures import Erasures
from tremula.rooms.visibility import Visibility

Processes = tuple[Process, Process]

PHONE = DeviceId("PHONE")
IN_ROOM = DeviceRoom(ALICE, PHONE, 7)
MEMBER: dict[str, int] = {BOB: 3}


def _lacks(members: LazyMembers, room: DeviceRoom, process: Process) -> bool:
    since = process.journal.position
    return bool(members.without_sent(room, MEMBER, since=since))


async def test_a_device_that_began_anew_elsewhere_lacks_all_members(
    processes: Processes,
) -> None:
    one, other = (LazyMembers(each.journal) for each in processes)
    other.record(IN_ROOM, MEMBER, now=processes[1].journal.position)
    assert not _lacks(other, IN_ROOM, processes[1])

    await one.begin(ALICE, PHONE)
    await processes[1].journal.settled()

    assert _lacks(other, IN_ROOM, processes[1])
    other.record(IN_ROOM, MEMBER, now=processes[1].journal.position)
    assert not _lacks(other, IN_ROOM, processes[1])


async def test_another_device_lacks_nothing(processes: Processes) -> None:
    one, other = (LazyMembers(each.journal) for each in processes)
    other.record(IN_ROOM, MEMBER, now=processes[1].journal.position)

    await one.begin(ALICE, DeviceId("TABLET"))
    await processes[1].journal.settled()

    assert not _lacks(other, IN_ROOM, processes[1])


async def test_who_was_out_of_a_room_lacks_all_of_its_members(
    servers: Servers,
) -> None:
    """They may have come back, and begun anew with it, through the other process."""
    one, other = servers.both
    members = LazyMembers(other.journal)
    room_id = await one.create_room(BOB, ALICE)
    in_room = DeviceRoom(ALICE, PHONE, (await one.reader.get_room(room_id)).nid)
    await servers.heard()
    members.record(in_room, MEMBER, now=other.journal.position)
    assert not _lacks(members, in_room, servers.processes[1])

    await one.leave(room_id, ALICE)
    await servers.heard()

    assert _lacks(members, in_room, servers.processes[1])


async def test_what_was_not_heard_leaves_no_memory(processes: Processes) -> None:
    members = LazyMembers(processes[0].journal)
    members.record(IN_ROOM, MEMBER, now=processes[0].journal.position)

    processes[0].journal.forget(processes[0].journal.position)

    assert _lacks(members, IN_ROOM, processes[0])


async def _erasures(servers: Servers, number: int) -> Erasures:
    server = servers.both[number]
    visibility = Visibility(server.database, server.reader.events)
    return await Erasures.open(server.database, server.journal, visibility)


async def test_who_is_erased_by_one_process_is_by_the_other(servers: Servers) -> None:
    one, other = servers.both
    here, there = await _erasures(servers, 0), await _erasures(servers, 1)
    room_id = await one.create_room(ALICE, BOB)
    event_id = await one.send(room_id, ALICE)
    await servers.heard()
    view = await other.reader.get_room(room_id)
    event = await other.reader.events.get(view.nid, event_id)
    mallory = UserId("@mallory:test")
    [shown] = await there.shown(view, [event], mallory)
    assert "body" in shown.content

    unit = one.journal.unit()
    here.add(unit, ALICE)
    await one.journal.commit(unit)
    await rest(*servers.processes)

    [shown] = await there.shown(view, [event], mallory)
    assert "body" not in shown.content
    [shown] = await there.shown(view, [event], BOB)
    assert "body" in shown.content


async def test_who_was_erased_unheard_is_read_anew(servers: Servers) -> None:
    one, other = servers.both
    there = await _erasures(servers, 1)
    room_id = await one.create_room(ALICE, BOB)
    event_id = await one.send(room_id, ALICE)
    await servers.heard()
    view = await other.reader.get_room(room_id)
    event = await other.reader.events.get(view.nid, event_id)
    mallory = UserId("@mallory:test")
    [shown] = await there.shown(view, [event], mallory)
    assert "body" in shown.content
    unit = Statements()
    erasures_storage.insert_erasure(unit, ALICE, erased_pos=other.journal.position)
    await other.database.commit(unit)

    other.journal.forget(other.journal.position)

    assert there.concern([event])
    [shown] = await there.shown(view, [event], mallory)
    assert "body" not in shown.content
    assert not there.concern([])
