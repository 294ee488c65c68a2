"""What it costs to find whom a message notifies in a large room.

``python -m bench.push_marking`` prints the CPU time of marking a message, and of
reading everybody's rules first, in a room of 10,000 local members: where all have the
predefined rules, where many have muted other rooms, and where every tenth has a keyword
that nobody else has.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tremula.features.push import storage
from tremula.features.push.marking import PushMarker
from tremula.features.push.service import PushRules
from tremula.features.thread_subscriptions.service import ThreadSubscribers
from tremula.infra.cache import ByteLRU
from tremula.infra.config import SqliteFile
from tremula.infra.db import Database, Statements, open_database
from tremula.infra.journal import Journal
from tremula.protocol.events import Event
from tremula.protocol.identifiers import EventId, RoomId, ServerName, UserId
from tremula.protocol.power_levels import PowerLevels
from tremula.protocol.push_rule_values import Rule
from tremula.protocol.push_rules import OwnRules
from tremula.protocol.room_versions import get_room_version
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.events_storage import ServerPart
from tremula.rooms.memberships import Memberships
from tremula.rooms.staging import Staged, StateAround
from tremula.rooms.state import StateEvent, StateMap
from tremula.rooms.view import RoomView

MEMBERS: Final = 10_000
MESSAGES: Final = 200
SERVER: Final = ServerName("bench.test")
SENDER: Final = UserId("@user0:bench.test")
ROOM: Final = RoomId("!room:bench.test")

Choice = Callable[[int], OwnRules]


def main() -> None:
    """Print the table."""
    for title, choice in (
        ("all with the predefined rules", lambda _: OwnRules()),
        ("every third has muted another room", _muting),
        ("every tenth has a keyword of their own", _keyword),
    ):
        asyncio.run(_measure(title, choice))


def _muting(number: int) -> OwnRules:
    if number % 3:
        return OwnRules()
    return OwnRules(room=(Rule(f"!other{number}:bench.test", ()),))


def _keyword(number: int) -> OwnRules:
    if number % 10:
        return OwnRules()
    word = f"keyword{number}"
    return OwnRules(content=(Rule(word, ("notify",), pattern=word),))


async def _measure(title: str, choice: Choice) -> None:
    with TemporaryDirectory() as folder:
        database = await open_database(SqliteFile(Path(folder) / "bench.db"))
        try:
            await _measure_with(database, title, choice)
        finally:
            await database.close()


async def _measure_with(database: Database, title: str, choice: Choice) -> None:
    journal = await Journal.open(database)
    memberships = Memberships(database, journal)
    marker = PushMarker(
        db=database,
        journal=journal,
        events=EventStore(database, ByteLRU(1)),
        rules=PushRules(database, journal, memberships),
        subscribers=ThreadSubscribers(database),
        server_name=SERVER,
    )
    await _store_rules(database, choice)
    view = RoomView(
        nid=1,
        room_id=ROOM,
        version=get_room_version("12"),
        state=StateMap.of(_state()),
        room_pos=0,
    )
    began_s = time.process_time()
    await marker.prepare(view, ())
    prepared_s = time.process_time() - began_s
    around = StateAround(view.state, view.state, PowerLevels({}, {}, {}))
    began_s = time.process_time()
    for number in range(1, MESSAGES + 1):
        unit = journal.unit()
        marker.mark(unit, view, _message(number, unit.pos()), around)
        await journal.commit(unit)
    marked_s = time.process_time() - began_s
    sys.stdout.write(
        f"{MEMBERS} members, {title}: {1000 * marked_s / MESSAGES:.2f} ms a message"
        f" with its commit, {1000 * prepared_s:.0f} ms once\n"
    )


async def _store_rules(database: Database, choice: Choice) -> None:
    unit = Statements()
    for number in range(MEMBERS):
        rules = choice(number)
        if rules != OwnRules():
            user_id = UserId(f"@user{number}:{SERVER}")
            storage.replace_rules(unit, user_id, rules.encoded(), seen_pos=0, pos=1)
    await database.commit(unit)


def _state() -> Iterable[StateEvent]:
    create = {"room_version": "12"}
    yield StateEvent(EventId("$0"), 1, 1, "m.room.create", "", SENDER, create)
    for number in range(MEMBERS):
        user_id = f"@user{number}:{SERVER}"
        content = {"membership": "join"}
        event_id = EventId(f"${number + 1}")
        yield StateEvent(event_id, 1, 1, "m.room.member", user_id, user_id, content)


def _message(number: int, pos: int) -> Staged:
    content = {"msgtype": "m.text", "body": "Is there any more tea in the kitchen?"}
    event_id = EventId(f"$message{number}")
    event = Event(
        event_id=event_id,
        room_id=ROOM,
        type="m.room.message",
        sender=SENDER,
        state_key=None,
        content=content,
        origin_server_ts=number,
        depth=number,
        prev_events=(),
        auth_events=(),
        redacts=None,
    )
    stored = StoredEvent(
        event_nid=pos,
        event_id=event_id,
        room_nid=1,
        room_pos=number,
        type=event.type,
        state_key=None,
        sender=SENDER,
        origin_server_ts=number,
        client_json=b"",
    )
    return Staged(event, stored, ServerPart(number, b""))


if __name__ == "__main__":
    main()
