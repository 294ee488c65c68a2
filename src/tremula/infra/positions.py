"""The counter that every stream position comes from, safe over restarts."""

from typing import Final

from tremula.infra.db import Database, DatabaseUnavailable, Reader, Statements, Unit

BLOCK: Final = 1_000_000
"""Positions reserved at a time. One restart skips at most this many; 2^53 (the
largest integer of a token) lasts for nine billion restarts."""

_WRITER: Final = 1


class Positions:
    """Hands out rising integers, each only once, also over crashes.

    A block is written down as used up before its first position is handed out; the
    next block is reserved in the background when half of the last one is gone.
    """

    __slots__ = ("_database", "_reserved", "_reserving", "_start", "last")

    def __init__(self, database: Database, *, start: int) -> None:
        self._database = database
        self._start = start
        self._reserved = start + BLOCK
        self._reserving = False
        self.last = start
        """The newest position handed out (or skipped by the restart)."""

    @classmethod
    async def open(cls, database: Database) -> "Positions":
        """Reserve a first block above everything that was ever handed out."""
        start = await _reserved_pos(database)
        unit = Statements()
        _update_reserved_pos(unit, start + BLOCK)
        await database.commit(unit)
        return cls(database, start=start)

    def take(self) -> int:
        """The next position.

        Raises:
            DatabaseUnavailable: the reserved block ran out while the database could
                not write down the next one.
        """
        pos = self.last + 1
        if pos + BLOCK // 2 > self._reserved and not self._reserving:
            self._reserve()
        if pos > self._reserved:
            raise DatabaseUnavailable("the next stream positions are not reserved yet")
        self.last = pos
        return pos

    def _reserve(self) -> None:
        until = self._reserved + BLOCK
        unit = Statements()
        _update_reserved_pos(unit, until)

        def settled(error: Exception | None) -> None:
            self._reserving = False
            if error is None:
                self._reserved = until

        self._reserving = True
        try:
            self._database.submit(unit, settled)
        except DatabaseUnavailable:
            # There is half a block left; the next take() tries again.
            self._reserving = False


async def _reserved_pos(db: Reader) -> int:
    row = await db.first(
        "SELECT reserved_pos FROM infra_writers WHERE writer = :writer", writer=_WRITER
    )
    assert row is not None, "the migration makes the row"
    (reserved_pos,) = row
    return int(reserved_pos)


def _update_reserved_pos(unit: Unit, reserved_pos: int) -> None:
    unit.run(
        "UPDATE infra_writers SET reserved_pos = :pos WHERE writer = :writer",
        pos=reserved_pos,
        writer=_WRITER,
    )
