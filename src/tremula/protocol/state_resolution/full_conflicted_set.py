"""What of a room's past the resolution has to look at again (RV2, RV12 "Definitions").

Chains are followed from the newest event down and no further than the states differ;
the work is linear in what is passed on the way, however the events cite each other.
"""

from heapq import heapify, heappop, heappush

from tremula.protocol.room_state import CREATE, JOIN_RULES, POWER_LEVELS
from tremula.protocol.state_resolution.auth_graph import Loader, Loading
from tremula.protocol.state_resolution.forked_state import ForkedState

# How many unconflicted events are followed before it is looked whether that was enough;
# then twice as many, and so on.
_FOLLOWED_FIRST = 100


def auth_difference(forked: ForkedState, loader: Loader) -> Loading[set[int]]:
    """The events that are in some states' full auth chains, but not in all.

    The events of a state are in its full auth chain as well: the specification does
    not say so, but other servers, and all have to come to the same result.

    Of those that are conflicted themselves, also some that are in all: the full
    conflicted set holds them anyway.
    """
    differing = yield from _differing_chains(forked, loader)
    sought = differing - forked.conflicted_nids()
    differing -= sought
    yield from _discard_reached(forked, loader, sought)
    return differing | sought


def conflicted_subgraph(forked: ForkedState, loader: Loader) -> Loading[set[int]]:
    """RV12: all that lies between two events of the conflicted state set, and those."""
    conflicted = forked.conflicted_nids()
    floor = min(conflicted, default=0)
    reached = yield from loader.reachable(conflicted, floor=floor)
    between: set[int] = set()
    for nid in sorted(reached):  # auth events come before who cites them
        if nid in conflicted or not between.isdisjoint(loader.auth_of(nid)):
            between.add(nid)
    return between


def _differing_chains(forked: ForkedState, loader: Loader) -> Loading[set[int]]:
    """What the chains of the conflicted events differ in.

    Every event gets a bit for each state whose chain has it, from those who cite it:
    in descending order, so that they are complete when it is its turn. Where all
    bits are set and nothing else is left, the chains have come together.
    """
    everywhere = (1 << len(forked.conflicted)) - 1
    bits = yield from _first_bits(forked, loader, everywhere)
    # A heap of negative numbers: the newest first.
    pending = [-nid for nid in bits]
    heapify(pending)
    differing = {nid for nid, mask in bits.items() if mask != everywhere}
    undecided = len(differing)
    unloaded = set(bits)
    while undecided:
        nid = -heappop(pending)
        if nid in unloaded:
            yield from loader.edges(unloaded)
            unloaded.clear()
        mask = bits[nid]
        undecided -= mask != everywhere
        for auth_nid in loader.auth_of(nid):
            before = bits.get(auth_nid)
            bits[auth_nid] = after = mask | (before or 0)
            if before is None:
                heappush(pending, -auth_nid)
                unloaded.add(auth_nid)
                if after != everywhere:
                    differing.add(auth_nid)
                    undecided += 1
            elif before != everywhere and after == everywhere:
                differing.discard(auth_nid)
                undecided -= 1
    return differing


def _first_bits(
    forked: ForkedState, loader: Loader, everywhere: int
) -> Loading[dict[int, int]]:
    """The bits of those events that events of the states cite themselves.

    An event of a state is in its auth chain only if another of its events cites it.
    Of the unconflicted events those three are there whose long chains nearly all
    events have: there, most chains come together.
    """
    states: dict[int, int] = {}
    for number, entries in enumerate(forked.conflicted):
        for nid in entries.values():
            states[nid] = states.get(nid, 0) | 1 << number
    for key in (CREATE, POWER_LEVELS, JOIN_RULES):
        unconflicted = forked.unconflicted(key)
        if unconflicted is not None:
            states[unconflicted] = everywhere
    yield from loader.edges(states)
    bits: dict[int, int] = {}
    for nid, mask in states.items():
        for auth_nid in loader.auth_of(nid):
            bits[auth_nid] = bits.get(auth_nid, 0) | mask
    return bits


def _discard_reached(
    forked: ForkedState, loader: Loader, sought: set[int]
) -> Loading[None]:
    """Discard of *sought* the unconflicted events, and what is in their auth chains.

    Those are in the full auth chain of every state. The newest are followed first:
    one of a few usually cites what all cite.
    """
    if not sought:
        return
    newest_first = sorted(forked.unconflicted_nids(), reverse=True)
    sought.difference_update(newest_first)
    if not sought:
        return
    floor = min(sought)
    followed: set[int] = set()
    start, count = 0, _FOLLOWED_FIRST
    while start < len(newest_first):
        some = newest_first[start : start + count]
        start, count = start + count, count * 2
        level = {nid for nid in some if nid > floor} - followed
        while level:
            followed |= level
            yield from loader.edges(level)
            cited = {
                auth_nid
                for nid in level
                for auth_nid in loader.auth_of(nid)
                if auth_nid >= floor
            }
            sought -= cited
            if not sought:
                return
            level = cited - followed
        floor = min(sought)
