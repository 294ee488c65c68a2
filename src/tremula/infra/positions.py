"""The counter that every stream position comes from, safe over restarts."""

from typing import Final

from tremula.infra.db import Database, DatabaseUnavailable, Reader, Statements, Unit

BLOCK: Final = 1_000_000
"""Positions reserved at a time. One restart skips at most this many; 2^53 (the
largest integer of a token) lasts for nine billion restarts."""

_ALONE: Final = 1
"""The writer of a server of one process."""


class Positions:
    """Hands out rising integers, each only once, also over crashes.

    Of several writers each has the positions that leave its number when divided by
    *writers*, so that all positions have one order; and each goes on above those that
    it has seen of the others (a Lamport clock).

    A block is written down as used up before its first position is stored; the next
    block is reserved in the background when half of the last one is gone.
    """

    __slots__ = ("_database", "_reserved", "_step", "_submitted", "_writer", "last")

    def __init__(
        self, database: Database, *, start: int, writer: int = _ALONE, writers: int = 1
    ) -> None:
        self._database = database
        self._writer = writer
        self._step = writers
        self._reserved = self._submitted = start + BLOCK * writers
        self.last = start
        """The newest position handed out, seen, or skipped by the restart."""

    @classmethod
    async def open(
        cls, database: Database, *, writer: int = _ALONE, writers: int = 1
    ) -> "Positions":
        """Reserve a first block above everything that was ever handed out."""
        start = await _reserved_pos(database)
        unit = Statements()
        _update_reserved_pos(unit, writer, start + BLOCK * writers)
        await database.commit(unit)
        return cls(database, start=start, writer=writer, writers=writers)

    def take(self) -> int:
        """The next position.

        Raises:
            DatabaseUnavailable: the block ran out, and the database does not take the
                next one.
        """
        step = self._step
        pos = self.last + 1 if step == 1 else _next_of(self.last, self._writer, step)
        if pos + BLOCK * step // 2 > self._submitted:
            self._reserve(pos + BLOCK * step)
        if pos > self._submitted:
            raise DatabaseUnavailable("the next stream positions are not reserved yet")
        self.last = pos
        return pos

    def observe(self, pos: int) -> None:
        """Hand out only positions above *pos* from now on."""
        self.last = max(self.last, pos)

    def _reserve(self, until: int) -> None:
        unit = Statements()
        _update_reserved_pos(unit, self._writer, until)

        def settled(error: Exception | None) -> None:
            if error is None:
                self._reserved = max(self._reserved, until)
            else:
                # There is half a block left; the next take() tries again.
                self._submitted = self._reserved

        try:
            self._database.submit(unit, settled)
        except DatabaseUnavailable:
            return
        # Units are stored in order: the block is, before what takes from it.
        self._submitted = until


async def reserved_pos_of(db: Reader, writer: int) -> int:
    """A position above all that *writer* can have taken."""
    row = await db.first(
        "SELECT reserved_pos FROM infra_writers WHERE writer = :writer", writer=writer
    )
    assert row is not None, f"writer {writer} has never been"
    (reserved_pos,) = row
    return int(reserved_pos)


def _next_of(last: int, writer: int, writers: int) -> int:
    """The first position of *writer* after *last*."""
    pos = last - last % writers + writer
    return pos if pos > last else pos + writers


async def _reserved_pos(db: Reader) -> int:
    row = await db.first("SELECT MAX(reserved_pos) FROM infra_writers")
    assert row is not None, "the migration makes a row"
    (reserved_pos,) = row
    return int(reserved_pos)


def _update_reserved_pos(unit: Unit, writer: int, reserved_pos: int) -> None:
    unit.run(
        "UPDATE infra_writers SET reserved_pos = :pos WHERE writer = :writer",
        pos=reserved_pos,
        writer=writer,
    )
