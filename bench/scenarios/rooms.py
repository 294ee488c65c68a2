"""Making rooms, and what their size costs."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.client import User, check, each
from bench.processes import measured
from bench.scenarios.sending import measured_sends
from bench.scenarios.subject import Metrics, Place, Subject, prefixed


@dataclass(frozen=True, slots=True)
class CreateRooms:
    """Private rooms with a name."""

    creators: int = 4
    rooms: int = 200

    async def run(self, subject: Subject) -> Metrics:
        """See `Scenario`."""
        users = await subject.homeserver.users(self.creators)
        await each(users, User.create_room, at_once=self.creators)

        async def create(number: int) -> str:
            creator = users[number % self.creators]
            return await creator.create_room(
                preset="private_chat", name=f"Room {number}"
            )

        async with measured(subject.processes) as usage:
            room_ids = await each(range(self.rooms), create, at_once=self.creators)
        check(len(set(room_ids)) == self.rooms, "two rooms have the same ID")
        types = await users[0].state_types(room_ids[0])
        check(
            {"m.room.create", "m.room.member", "m.room.name"} <= types,
            "a new room lacks state",
        )
        return usage.cpu_ms_per(self.rooms) | {"per_s": self.rooms / usage.wall_s}


@dataclass(frozen=True, slots=True)
class GrowingRoom:
    """A public room that many join, the first and last *part* of them measured apart;
    then some of its members send.

    A join is charged with what is made of it up to *settle_s* later, as are the words
    that its user is found by.
    """

    members: int = 2_000
    part: int = 200
    senders: int = 16
    messages: int = 320
    settle_s: float = 6

    async def run(self, subject: Subject) -> Metrics:
        """See `Scenario`."""
        owner, *others = await subject.homeserver.users(self.members)
        room_id = await owner.create_room(name="Growing")
        first, middle, last = (
            others[: self.part],
            others[self.part : -self.part],
            others[-self.part :],
        )
        metrics: Metrics = {}
        for name, users in (("first", first), ("middle", middle), ("last", last)):
            metrics |= prefixed(name, await self._joins(subject, users, room_id))
        joined = await owner.joined_members(room_id)
        check(
            joined == {user.user_id for user in (owner, *others)},
            f"{len(joined)} are joined, not {self.members}",
        )
        places = [Place(user, room_id) for user in others[: self.senders]]
        sends = await measured_sends(subject, places, self.messages)
        return metrics | prefixed("send", sends)

    async def _joins(
        self, subject: Subject, users: Sequence[User], room_id: str
    ) -> Metrics:
        async with measured(subject.processes, settle_s=self.settle_s) as usage:
            await each(users, lambda user: user.join(room_id), at_once=10)
        return usage.cpu_ms_per(len(users)) | {"per_s": len(users) / usage.wall_s}
