"""A client that knows of its rooms only what sliding sync and `/messages` tell it."""

from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from tests.features.sliding_sync.polling import ids, slide
from tests.features.sync.model import RoomModel
from tests.http_client import Client

_PAGE: Final = "7"
_EVERYTHING: Final = [["*", "*"]]
_WANTED: Final[tuple[list[list[str]], ...]] = (
    _EVERYTHING,
    [["m.room.topic", ""], ["org.note", "*"]],
    [["m.room.member", "$LAZY"], ["*", "*"]],
    [["m.room.member", "$ME"], ["*", "1"]],
    [],
)


@dataclass(slots=True)
class SlidingModel:
    """Applies the answers one by one, and fills their gaps.

    ``joined`` and ``left`` are as in `SyncModel`, but of ``left`` only the timeline
    is known to the end.
    """

    client: Client
    user_id: str
    random: Random
    conn_id: str = ""
    pos: str | None = None
    joined: dict[str, RoomModel] = field(default_factory=dict)
    left: dict[str, RoomModel] = field(default_factory=dict)
    invited: set[str] = field(default_factory=set)

    async def sync(self) -> None:
        """Ask for anything; now and then of the same position twice, or from none."""
        if self.random.random() < 0.03:
            self.pos = None
            self.joined.clear()
            self.left.clear()
            self.invited.clear()
        if self.random.random() < 0.1:
            await self._ask(self._wishes())
        await self._apply(await self._ask(self._wishes()))

    async def sync_all(self) -> None:
        """Ask for all that there is."""
        wanted = {"timeline_limit": 3, "required_state": _EVERYTHING}
        for _ in range(2):
            await self._apply(await self._ask({"lists": {"all": wanted}}))

    def _wishes(self) -> dict[str, Any]:
        def config() -> dict[str, Any]:
            return {
                "timeline_limit": self.random.randint(0, 6),
                "required_state": self.random.choice(_WANTED),
            }

        first, last = sorted(self.random.choices(range(4), k=2))
        wishes: dict[str, Any] = {"lists": {"a": {"ranges": [[first, last]]}}}
        wishes["lists"]["a"] |= config()
        if self.random.random() < 0.3:
            wishes["lists"]["b"] = {"ranges": [[0, 0]], **config()}
        if self.joined and self.random.random() < 0.3:
            room_id = self.random.choice(sorted(self.joined))
            wishes["room_subscriptions"] = {room_id: config()}
        return wishes

    async def _ask(self, wishes: dict[str, Any]) -> dict[str, Any]:
        return await slide(self.client, self.pos, conn_id=self.conn_id, **wishes)

    async def _apply(self, answer: dict[str, Any]) -> None:
        for room_id, entry in answer["rooms"].items():
            if "invite_state" in entry:
                self._forget(room_id)
                self.invited.add(room_id)
                continue
            if room_id in self.invited:
                self.invited.remove(room_id)
                if not entry.get("initial"):
                    # It was refused, or taken back.
                    assert not self._is_in(entry)
                    continue
            known = self.joined.get(room_id) or self.left.get(room_id)
            room = known or RoomModel()
            if entry.get("initial"):
                room = RoomModel()
            else:
                assert known is not None, "a room begins with `initial`"
            self._forget(room_id)
            await self._apply_timeline(room_id, room, entry)
            room.set_state(entry["required_state"])
            (self.joined if self._is_in(entry) else self.left)[room_id] = room
        self.pos = answer["pos"]

    def _is_in(self, entry: dict[str, Any]) -> bool:
        own = ("m.room.member", self.user_id)
        events = [*entry["timeline"], *entry["required_state"]]
        found = [e for e in events if (e["type"], e.get("state_key")) == own]
        return not found or found[-1]["content"]["membership"] == "join"

    def _forget(self, room_id: str) -> None:
        self.joined.pop(room_id, None)
        self.left.pop(room_id, None)

    async def _apply_timeline(
        self, room_id: str, room: RoomModel, entry: dict[str, Any]
    ) -> None:
        new = [each for each in ids(entry["timeline"]) if each not in room.timeline]
        is_expanded = entry.get("unstable_expanded_timeline", False)
        assert is_expanded or len(new) == len(entry["timeline"]), "an event came twice"
        if entry.get("limited") and (
            len(new) == len(entry["timeline"]) or not room.timeline
        ):
            await self._fill_gap(room_id, room, entry["prev_batch"])
        room.timeline += new

    async def _fill_gap(self, room_id: str, room: RoomModel, start: str) -> None:
        """Page back to what is known."""
        missed: list[str] = []
        query = {"from": start, "dir": "b", "limit": _PAGE}
        while True:
            path = f"/v3/rooms/{room_id}/messages"
            response = await self.client.get(path, query=query)
            if response.status == 403:
                room.has_gap = True
                return
            assert response.status == 200, response.body
            page = ids(response.json["chunk"])
            new = [each for each in page if each not in room.timeline]
            missed += new
            if len(new) < len(page) or "end" not in response.json:
                room.timeline += missed[::-1]
                return
            query["from"] = response.json["end"]
