"""Rooms and what users keep about them, in each of two processes."""

from dataclasses import dataclass

from tests.fakes.processes import Process, rest
from tests.features.user_data import UserDataServer


@dataclass(frozen=True, slots=True)
class Servers:
    """Rooms are to be written to by the first process only, which holds all slots."""

    processes: tuple[Process, Process]
    both: tuple[UserDataServer, UserDataServer]

    async def heard(self) -> None:
        """All that was announced is known to both."""
        await rest(*self.processes)
