"""What is measured: a name, full sizes for figures, quick ones to try it out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench.scenarios.idling import Idle, IdlePolls
from bench.scenarios.initial_sync import InitialSync
from bench.scenarios.keys import DeviceKeys
from bench.scenarios.reading import Pages
from bench.scenarios.rooms import CreateRooms, GrowingRoom
from bench.scenarios.sending import DurableSend, SendInRoom
from bench.scenarios.subject import Scenario
from bench.scenarios.syncing import FanOut, Latency
from bench.scenarios.to_device import ToDevice
from bench.scenarios.travelling import Travelling


@dataclass(frozen=True, slots=True)
class Sizes:
    """One scenario in two sizes."""

    full: Scenario
    quick: Scenario


SCENARIOS: Final[Mapping[str, Sizes]] = {
    "idle": Sizes(Idle(), Idle(seconds=2)),
    "send": Sizes(DurableSend(), DurableSend(messages=640)),
    "send_in_room": Sizes(SendInRoom(), SendInRoom(messages=160)),
    "travelling": Sizes(Travelling(), Travelling(rooms=8)),
    "latency": Sizes(Latency(), Latency(messages=50)),
    "fan_out": Sizes(FanOut(), FanOut(clients=50, messages=5)),
    "create_room": Sizes(CreateRooms(), CreateRooms(rooms=24)),
    "growing_room": Sizes(
        GrowingRoom(), GrowingRoom(members=240, part=60, messages=48, settle_s=0.5)
    ),
    "initial_sync": Sizes(InitialSync(), InitialSync(rooms=20)),
    "pages": Sizes(Pages(), Pages(events=800)),
    "device_keys": Sizes(
        DeviceKeys(), DeviceKeys(uploads=16, users=8, claims=160, queries=80)
    ),
    "to_device": Sizes(ToDevice(), ToDevice(messages=160)),
    "idle_polls": Sizes(IdlePolls(), IdlePolls(clients=100, poll_s=5)),
}
