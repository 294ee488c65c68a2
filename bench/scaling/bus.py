"""What travels over NATS for an event, and what that costs, by number of members."""

import asyncio
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from unittest.mock import patch

import msgspec
from msgspec import Struct

from bench.processes import NATS, Processes
from bench.scaling.members import Member, cluster
from tests.nats_server import NatsServer, running_nats
from tests.postgres_server import free_port
from tests.server import config_for, running_server
from tremula.infra.cluster.messages import Request, Wire, pack
from tremula.infra.config import SqliteFile
from tremula.infra.journal import JournalUnit
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.rooms.events import Draft, TxnKey
from tremula.rooms.rooms import CALLS, AppendEvents
from tremula.rooms.staging import EVENT_TOPIC, OwnChange
from tremula.topics import all_topics

_TEXT: Final = "the quick brown fox jumps over the lazy dog again"
_CONTENT: Final = {"msgtype": "m.text", "body": _TEXT}


class Varz(Struct):
    """What NATS has taken in and given out; bytes are those of payloads."""

    in_msgs: int
    out_msgs: int
    in_bytes: int
    out_bytes: int


@dataclass(frozen=True, slots=True)
class Load:
    """So many stores; in each, *writers* members store *batch* events at once."""

    writers: int
    batch: int
    stores: int


@dataclass(frozen=True, slots=True)
class Told:
    """What one event took, on average: of NATS, and of all members together."""

    members: int
    messages: float
    deliveries: float
    out_bytes: float
    cpu_ms: float
    nats_cpu_ms: float
    wait_ms: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of one text message's event in each of its forms."""

    client_json: int
    announced: int
    request: int
    reply: int


@dataclass(frozen=True, slots=True)
class Bus:
    """What the bus carries: of one text message, and by load and number of members."""

    sizes: Sizes
    told: Sequence[tuple[Load, Told]]


def measure_bus(members: Sequence[int], loads: Sequence[Load]) -> Bus:
    """Each of *loads* with so many members."""
    own = asyncio.run(_real_change())
    told = [(load, _told(own, count, load)) for load in loads for count in members]
    return Bus(_sizes(own), told)


async def _real_change() -> OwnChange:
    """What is announced of a text message that a server stores."""
    changes: list[OwnChange] = []
    announce = JournalUnit.announce

    def tapped(
        unit: JournalUnit, topic: str, key: int | str, payload: object, **where: int
    ) -> None:
        if isinstance(payload, OwnChange):
            changes.append(payload)
        announce(unit, topic, key, payload, **where)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        async with running_server(config_for(SqliteFile(path / "db"), path)) as server:
            alice = server.client("@alice-of-some-length:test")
            room_id = (await alice.post("/v3/createRoom", {})).json["room_id"]
            with patch.object(JournalUnit, "announce", tapped):
                await alice.put(
                    f"/v3/rooms/{room_id}/send/m.room.message/txn-1", _CONTENT
                )
    (change,) = changes
    return change


def _sizes(own: OwnChange) -> Sizes:
    """How long its forms are."""
    change, stored, wire = own.change, own.change.stored, Wire(CALLS)
    draft = Draft(
        stored.type,
        UserId(stored.sender),
        _CONTENT,
        txn=TxnKey(DeviceId(stored.device_id or ""), stored.txn_id or ""),
    )
    command = wire.pack_command(AppendEvents((draft,)))
    request = Request("0" * 32, "room", change.room_id, command)
    reply = wire.answered([stored.event_id])
    return Sizes(
        len(stored.client_json),
        len(bytes(all_topics().pack(EVENT_TOPIC, own))),
        len(pack(request)),
        len(pack(reply)),
    )


def _told(own: OwnChange, members: int, load: Load) -> Told:
    """Have *members* tell each other of *own*, again and again."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        settings = f"http: 127.0.0.1:{port}\n"
        with running_nats(Path(folder), settings) as nats:
            return asyncio.run(_measure(own, members, load, nats, port))


async def _measure(
    own: OwnChange, count: int, load: Load, nats: NatsServer, port: int
) -> Told:
    assert nats.process is not None
    processes = Processes({NATS: (nats.process.pid,)})
    batch = [own] * load.batch
    async with cluster(nats.url, count) as members:
        await _store(members, load, batch, stores=5)
        before, nats_s = await asyncio.to_thread(_varz, port), processes.cpu_s()[NATS]
        cpu_s = time.process_time()
        waited_s = await _store(members, load, batch, stores=load.stores)
        cpu_s = time.process_time() - cpu_s
        nats_s = processes.cpu_s()[NATS] - nats_s
        after = await asyncio.to_thread(_varz, port)
    events = load.stores * min(load.writers, count) * load.batch
    return Told(
        members=count,
        messages=(after.in_msgs - before.in_msgs) / events,
        deliveries=(after.out_msgs - before.out_msgs) / events,
        out_bytes=(after.out_bytes - before.out_bytes) / events,
        cpu_ms=cpu_s * 1000 / events,
        nats_cpu_ms=nats_s * 1000 / events,
        wait_ms=waited_s * 1000 / load.stores,
    )


async def _store(
    members: Sequence[Member], load: Load, batch: Sequence[OwnChange], *, stores: int
) -> float:
    """Members take turns; returns the seconds until all writers went on."""
    waited_s = 0.0
    for number in range(stores):
        turn = number % len(members)
        writers = [*members[turn:], *members[:turn]][: load.writers]
        began_s = time.perf_counter()
        await asyncio.gather(*(writer.store(batch) for writer in writers))
        waited_s += time.perf_counter() - began_s
    return waited_s


def _varz(port: int) -> Varz:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/varz", timeout=10) as answer:
        return msgspec.json.decode(answer.read(), type=Varz)
