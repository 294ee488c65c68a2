"""The two orders in which events are checked (RV2 "Definitions")."""

import math
from collections.abc import Collection, Mapping
from heapq import heappop, heappush

from tremula.protocol.events import Event
from tremula.protocol.power_levels import user_level
from tremula.protocol.room_state import CREATE, POWER_LEVELS
from tremula.protocol.room_versions import RoomVersion
from tremula.protocol.state_resolution.auth_graph import AuthGraph, Loader, Loading

# What a topological order is refined by, the least first.
SortKey = tuple[float, int, str]


def power_sort_key(
    version: RoomVersion, graph: AuthGraph, nid: int, implied_create: Event | None
) -> SortKey:
    """What "reverse topological power ordering" compares of an event of the graph."""
    event = graph.events[nid]
    auth_nids = graph.auth_nids.get(nid, ())
    power_levels: Event | None = None
    create = implied_create
    for auth_nid in reversed(auth_nids):  # so that the first of a kind counts
        auth_event = graph.events.get(auth_nid)
        if auth_event is None:
            continue
        key = (auth_event.type, auth_event.state_key)
        if key == POWER_LEVELS:
            power_levels = auth_event
        elif key == CREATE:
            create = auth_event
    level = (
        0 if create is None else user_level(version, create, power_levels, event.sender)
    )
    return (-level, event.origin_server_ts, event.event_id)


def topological_order(
    graph: AuthGraph, nids: Collection[int], keys: Mapping[int, SortKey]
) -> list[int]:
    """The events of *keys*: none before one of its auth chain, otherwise the least
    key first.

    *nids* are those, and all events by which one of them leads to another: they have
    no place in the order, but what they cite comes before what cites them. Kahn's
    algorithm.
    """
    waits_for: dict[int, int] = {}
    cited_by: dict[int, list[int]] = {}
    for nid in nids:
        auth_nids = [each for each in graph.auth_nids.get(nid, ()) if each in nids]
        waits_for[nid] = len(auth_nids)
        for auth_nid in auth_nids:
            cited_by.setdefault(auth_nid, []).append(nid)
    free = [nid for nid, count in waits_for.items() if not count]
    candidates: list[tuple[SortKey, int]] = []
    order: list[int] = []
    while free or candidates:
        if free:
            nid = free.pop()
            if nid in keys:
                heappush(candidates, (keys[nid], nid))
                continue
        else:
            _, nid = heappop(candidates)
            order.append(nid)
        for each in cited_by.get(nid, ()):
            waits_for[each] -= 1
            if not waits_for[each]:
                free.append(each)
    return order


def mainline_order(
    loader: Loader, nids: Collection[int], power_levels: int | None
) -> Loading[list[int]]:
    """*nids* in "mainline ordering" by *power_levels*, None for a room without."""
    # All at once; what follows would ask for them one by one.
    yield from loader.edges(each for nid in nids for each in loader.auth_of(nid))
    keys: dict[int, SortKey] = {}
    mainline = _Mainline(loader, power_levels)
    for nid in nids:
        position = yield from mainline.position(nid)
        event = loader.graph.events[nid]
        keys[nid] = (-position, event.origin_server_ts, event.event_id)
    return sorted(keys, key=keys.__getitem__)


class _Mainline:
    """RV2 "mainline of P_0", as far back as a position was asked for."""

    __slots__ = ("_last", "_length", "_loader", "_positions")

    def __init__(self, loader: Loader, power_levels: int | None) -> None:
        self._loader = loader
        self._last = power_levels  # the next to be given a position
        self._length = 0
        # Of power levels events on the mainline and off it, by what they are based on.
        self._positions: dict[int, float] = {}

    def position(self, nid: int) -> Loading[float]:
        """The "mainline position" of an event: the least of the newest, or infinity.

        Both lists descend, so that the mainline is followed only until it is older
        than where the event's own list has got to; and no list is followed twice.
        """
        positions = self._positions
        passed: list[int] = []
        each = yield from self._loader.power_levels_of(nid)
        while each is not None:
            yield from self._follow_down_to(each)
            if each in positions:
                break
            passed.append(each)
            each = yield from self._loader.power_levels_of(each)
        position = math.inf if each is None else positions[each]
        positions.update(dict.fromkeys(passed, position))
        return position

    def _follow_down_to(self, nid: int) -> Loading[None]:
        while self._last is not None and self._last >= nid:
            self._positions[self._last] = self._length
            self._length += 1
            self._last = yield from self._loader.power_levels_of(self._last)
