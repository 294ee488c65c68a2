"""What it takes to resolve the state of a large room that has forked."""

from dataclasses import dataclass
from typing import Final

from bench.scenarios.subject import Metrics
from bench.state_resolution import fork_of_a_large_room, measure

# Of state resolution 2 and 2.1.
_VERSIONS: Final = ("11", "12")


@dataclass(frozen=True, slots=True)
class ResolveFork:
    """Three branches of a room, with *conflicts* events between them; in memory."""

    members: int
    conflicts: int

    async def run(self) -> Metrics:
        """Seconds of CPU by room version: comparing the states, and resolving."""
        return {f"v{version}_s": self._cpu_s(version) for version in _VERSIONS}

    def _cpu_s(self, version: str) -> float:
        forked = fork_of_a_large_room(
            version, members=self.members, conflicts=self.conflicts
        )
        cost = measure(*forked)
        return (cost.compare_ms + cost.resolve_ms) / 1000
