"""Whose devices have changed, by what one application service has been told."""

from typing import Final

from msgspec import Struct, field

from tremula.protocol.identifiers import UserId

CHANGES_MAX: Final = 1_000


class Untold(Struct):
    """The oldest 1,000 users that an application service is to be told of, by position.

    ``cut_pos``: there are others from there on, which the database knows.
    """

    positions: dict[UserId, int] = field(default_factory=dict)
    cut_pos: int | None = None

    def put(self, user_id: UserId, pos: int) -> None:
        """The devices of *user_id* have changed at *pos*."""
        if user_id in self.positions or len(self.positions) < CHANGES_MAX:
            self.positions[user_id] = pos
        elif self.cut_pos is None:
            self.cut_pos = pos

    def told_pos(self, up_to: int) -> int:
        """Up to where all is told with what is here, if *up_to* is known."""
        return up_to if self.cut_pos is None else min(up_to, self.cut_pos - 1)

    def drop(self, told: dict[UserId, int]) -> None:
        """Forget what was *told*, unless it has changed again."""
        for user_id, pos in told.items():
            if self.positions.get(user_id) == pos:
                del self.positions[user_id]
