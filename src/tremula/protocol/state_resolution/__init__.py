"""State resolution: one state of a room from several (RV1, RV2, RV12).

Events go by their numbers (``event_nid``), and are loaded as they turn out to be
needed, so that a resolution costs what the states differ in, not what the room holds::

    forked = ForkedState.of(states, keys)
    resolution = Resolution(version, forked, graph)
    while missing := resolution.advance():
        ...  # add the missing edges and events to the graph, as far as they exist
    resolution.resolved  # over the entries that all states agree on
"""

from tremula.protocol.room_state import StateKey
from tremula.protocol.room_versions import RoomVersion, StateResolution
from tremula.protocol.state_resolution.auth_graph import AuthGraph, Loading, Missing
from tremula.protocol.state_resolution.forked_state import ForkedState, StateNids
from tremula.protocol.state_resolution.v1 import resolve_v1
from tremula.protocol.state_resolution.v2 import resolve_v2

__all__ = ["AuthGraph", "ForkedState", "Missing", "Resolution", "StateNids"]


class Resolution:
    """A resolution under way. Its result does not depend on the order of the states.

    Nor does it depend on the numbers, as long as an event's is higher than those of
    its auth events.
    """

    __slots__ = ("_resolved", "_steps")

    def __init__(
        self, version: RoomVersion, forked: ForkedState, graph: AuthGraph
    ) -> None:
        self._steps = _steps(version, forked, graph)
        self._resolved: dict[StateKey, int] | None = None

    def advance(self) -> Missing | None:
        """Go on with what the graph holds by now; None when done.

        What was asked for and still is not in the graph, is taken as not to be had:
        the resolution goes on as if no event named it.
        """
        try:
            return next(self._steps)
        except StopIteration as done:
            self._resolved = done.value
            return None

    @property
    def resolved(self) -> dict[StateKey, int]:
        """The entries of the resolved state besides the unconflicted ones.

        A key that is conflicted and not here has no event in the resolved state.
        """
        assert self._resolved is not None, "advance() has not returned None yet"
        return self._resolved


def _steps(
    version: RoomVersion, forked: ForkedState, graph: AuthGraph
) -> Loading[dict[StateKey, int]]:
    if version.state_resolution is StateResolution.V1:
        return resolve_v1(version, forked, graph)
    return resolve_v2(version, forked, graph)
