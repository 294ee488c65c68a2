"""Slots: work that exactly one process does, found by its key.

Rooms by room id, destinations by server name, appservices by id. One process alone
holds every slot; in a cluster a slot is leased and a call travels to its owner.
"""

import zlib
from collections.abc import Awaitable, Callable, Collection
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, Protocol

from msgspec import Struct

SLOTS: Final = 1_024

SlotHandler = Callable[[str, Any], Awaitable[Any]]
"""Does the work: called with ``(key, command)``, returns the answer."""

SlotsChanged = Callable[[Collection[int]], None]
"""Called with the numbers of slots."""


class SlotLease(Struct, frozen=True):
    """That a process held *slot*, from when its epoch began until the next one's."""

    slot: int
    epoch: int


_current: Final[ContextVar[SlotLease | None]] = ContextVar("lease", default=None)


def current_lease() -> SlotLease | None:
    """The lease of the command that is being done, for what it stores."""
    return _current.get()


class Doing:
    """A context in which a command is done under *lease*."""

    __slots__ = ("_lease", "_token")

    def __init__(self, lease: SlotLease) -> None:
        self._lease = lease

    def __enter__(self) -> None:
        """Begin."""
        self._token = _current.set(self._lease)

    def __exit__(self, *_: object) -> None:
        """End."""
        _current.reset(self._token)


def outside_of_commands() -> Context:
    """A context for what goes on when the command that began it is done."""
    context = copy_context()
    context.run(_current.set, None)
    return context


def slot_of(key: str) -> int:
    """The slot of *key*: the same in every process and release."""
    return zlib.crc32(key.encode()) % SLOTS


class CallTypes(Struct, frozen=True):
    """How the calls of a kind travel: as msgspec writes and reads these types.

    Several kinds of commands are a union of tagged structs. Of exceptions, each
    ``MatrixError`` travels, and those in *errors*, which are made of their message.
    """

    command: Any
    answer: Any
    errors: tuple[type[Exception], ...] = ()


class Slots(Protocol):
    """Sends commands to whoever owns a key's slot.

    Commands and answers are values that can be written as JSON (msgspec structs), so
    that they can travel; their types belong to the handler of the *kind*.
    """

    def register(
        self, kind: str, handler: SlotHandler, types: CallTypes | None = None
    ) -> None:
        """Let *handler* do the commands of *kind* for the slots held here.

        Without *types* they can't travel.
        """
        ...

    def lease(self, key: str) -> SlotLease | None:
        """What units for *key* are to be stored under if they are not those of a
        command; None if there is one process.

        Raises:
            SlotLost: another process holds the slot.
        """
        ...

    def holds(self, key: str) -> bool:
        """Whether work for *key* may begin here now."""
        ...

    def on_taken(self, callback: SlotsChanged) -> None:
        """Call *callback* with slots that are held here from now on.

        One process alone holds all from the beginning, and is never called.
        """
        ...

    def on_gone(self, callback: SlotsChanged) -> None:
        """Call *callback* with slots that are held here no more."""
        ...

    async def call(self, kind: str, key: str, command: Any) -> Any:  # noqa: ANN401 - the kind fixes both types
        """Have the owner of *key*'s slot do *command*, and return its answer."""
        ...


class SingleProcessSlots:
    """All slots in this process: a call is a call."""

    __slots__ = ("_handlers",)

    def __init__(self) -> None:
        self._handlers: dict[str, SlotHandler] = {}

    def register(
        self,
        kind: str,
        handler: SlotHandler,
        types: CallTypes | None = None,  # noqa: ARG002 - nothing travels
    ) -> None:
        """Let *handler* do every command of *kind*."""
        assert kind not in self._handlers, f"{kind} has a handler already"
        self._handlers[kind] = handler

    def lease(self, key: str) -> SlotLease | None:  # noqa: ARG002 - all are the same
        """None: nobody else writes."""
        return None

    def holds(self, key: str) -> bool:  # noqa: ARG002 - all are held
        """Always."""
        return True

    def on_taken(self, callback: SlotsChanged) -> None:
        """Nothing comes: everything is there."""

    def on_gone(self, callback: SlotsChanged) -> None:
        """Nothing goes."""

    async def call(self, kind: str, key: str, command: Any) -> Any:  # noqa: ANN401 - the kind fixes both types
        """Do *command* here and now."""
        return await self._handlers[kind](key, command)
