"""Up to where the one order of all writers is complete here. Pure."""

from collections import deque
from collections.abc import Collection, Mapping


class LostMessage(Exception):
    """A writer's messages have a gap: what it announced in it is not known here."""


class _Peer:
    __slots__ = ("acknowledged", "heard", "watermark")

    def __init__(self, heard: int, watermark: int) -> None:
        self.heard = heard
        """The number of its newest message here."""
        self.watermark = watermark
        """It announces nothing more up to this position."""
        self.acknowledged = 0
        """The number of our newest message there."""


class StableOrder:
    """The *floor*: a position up to which everything of every writer is here, and
    everything of ours is everywhere.

    Each writer numbers its messages, and says in each up to where it announces nothing
    more (its watermark), and which message of each other it has heard. Positions of
    different writers never are the same, so what is below the floor has one order,
    which all processes see alike: each shows a beginning of it, some a little more.
    """

    __slots__ = ("_peers", "_unacknowledged", "number")

    def __init__(self) -> None:
        self._peers: dict[int, _Peer] = {}
        # Our announcing messages that not everybody has: (number, first position).
        self._unacknowledged: deque[tuple[int, int]] = deque()
        self.number = 0
        """How many messages we have sent."""

    @property
    def peers(self) -> Collection[int]:
        """The other writers."""
        return self._peers.keys()

    @property
    def heard(self) -> Mapping[int, int]:
        """The number of the newest message of each peer, to be told to all."""
        return {writer: peer.heard for writer, peer in self._peers.items()}

    def floor(self, watermark: int) -> int:
        """See the class, with our own *watermark* as it is now.

        It never falls, as long as peers join above it.
        """
        if self._unacknowledged:
            watermark = min(watermark, self._unacknowledged[0][1] - 1)
        return min([watermark, *(peer.watermark for peer in self._peers.values())])

    def join(self, writer: int, *, heard: int, watermark: int) -> None:
        """Count in *writer*, from its message after number *heard* on. It announces
        nothing up to *watermark*.
        """
        self._peers[writer] = _Peer(heard, watermark)

    def leave(self, writer: int) -> None:
        """Count *writer* out: nothing of it is to come."""
        self._peers.pop(writer, None)
        self._settle()

    def send(self, first_pos: int | None) -> int:
        """A message of ours goes out, which announces from *first_pos* on, or nothing;
        returns its number.
        """
        self.number += 1
        if first_pos is not None:
            self._unacknowledged.append((self.number, first_pos))
            self._settle()
        return self.number

    def hear(self, writer: int, *, number: int, watermark: int) -> bool:
        """Message *number* of *writer* has come; False if that is none of the peers,
        or the message is an old one.

        Raises:
            LostMessage: there are messages missing before it.
        """
        peer = self._peers.get(writer)
        if peer is None or number <= peer.heard:
            return False
        if number != peer.heard + 1:
            raise LostMessage(writer)
        peer.heard = number
        peer.watermark = max(peer.watermark, watermark)
        return True

    def acknowledge(self, writer: int, number: int) -> None:
        """*writer* has our messages up to *number*."""
        peer = self._peers.get(writer)
        if peer is not None and number > peer.acknowledged:
            peer.acknowledged = number
            self._settle()

    def _settle(self) -> None:
        everywhere = min(
            (peer.acknowledged for peer in self._peers.values()), default=self.number
        )
        while self._unacknowledged and self._unacknowledged[0][0] <= everywhere:
            self._unacknowledged.popleft()
