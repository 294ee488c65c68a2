"""How much of everything the benchmarks of federation do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench.federation.inbound import InboundPdus
from bench.federation.joining import JoinLargeRoom
from bench.federation.resolution import ResolveFork
from bench.federation.state_storage import StateStorage


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Scenarios, by their names where there are several."""

    inbound: Mapping[str, InboundPdus]
    join: JoinLargeRoom
    storage: Mapping[str, StateStorage]
    resolution: ResolveFork


FULL: Final = Sizes(
    inbound={
        "inbound_one_room": InboundPdus(rooms=1, pdus=1_000),
        "inbound_many_rooms": InboundPdus(rooms=50, pdus=1_000),
    },
    join=JoinLargeRoom(members=10_000),
    storage={
        "state_linear": StateStorage(members=100, messages=5_000),
        "state_forked": StateStorage(members=100, messages=5_000, fork_every=20),
        "state_large": StateStorage(members=1, joins=10_000, messages=5_000),
    },
    resolution=ResolveFork(members=50_000, conflicts=500),
)
QUICK: Final = Sizes(
    inbound={
        "inbound_one_room": InboundPdus(rooms=1, pdus=300),
        "inbound_many_rooms": InboundPdus(rooms=10, pdus=300),
    },
    join=JoinLargeRoom(members=500),
    storage={
        "state_linear": StateStorage(members=100, messages=1_000),
        "state_forked": StateStorage(members=100, messages=1_000, fork_every=20),
        "state_large": StateStorage(members=1, joins=500, messages=500),
    },
    resolution=ResolveFork(members=5_000, conflicts=100),
)
